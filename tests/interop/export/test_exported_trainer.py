"""What an exported method finds in place of this engine's trainer, on data sets and managers as upstream has them."""

from __future__ import annotations

from types import SimpleNamespace

from interop.export.exported.training_items import keep_training_items


def test_training_items_are_kept_where_a_data_set_cannot_change_its_list(tiny, tmp_path):
    built = tiny.trainer(tmp_path)

    class Fixed:  # upstream's: `train_x` can be read, and is kept under a name of its own
        classnames = ("a", "b")
        train_x = property(lambda self: built.dm.dataset.train_x)

    old = built.train_loader_x
    trainer = SimpleNamespace(cfg=built.cfg, dm=SimpleNamespace(dataset=Fixed()), train_loader_x=old)
    keep_training_items(trainer, [7, 0, 2, 3])
    wanted = [built.dm.dataset.train_x[i] for i in (7, 0, 2, 3)]
    assert trainer.dm.dataset.train_x == wanted and trainer.dm.dataset.classnames == ("a", "b")
    loader = trainer.train_loader_x
    assert loader is not old and loader.dataset.transform is old.dataset.transform
    assert {path for batch in loader for path in batch["impath"]} == {item.impath for item in wanted}
