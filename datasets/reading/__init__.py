"""From files on disk to items: split files, few-shot samples, lists, folders, MATLAB files."""
