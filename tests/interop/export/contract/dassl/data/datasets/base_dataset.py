"""Items and lists of them: read-only labels, and none of the properties that our engine adds."""

import random
from collections import defaultdict

from dassl.utils import check_isfile


class Datum:
    def __init__(self, impath="", label=0, domain=0, classname=""):
        assert isinstance(impath, str)
        assert check_isfile(impath)
        self._impath, self._label, self._domain, self._classname = impath, label, domain, classname

    @property
    def impath(self):
        return self._impath

    @property
    def label(self):
        return self._label

    @property
    def domain(self):
        return self._domain

    @property
    def classname(self):
        return self._classname


class DatasetBase:
    dataset_dir = ""
    domains = []

    def __init__(self, train_x=None, train_u=None, val=None, test=None):
        self.__train_x, self.__train_u, self.__val, self.__test = train_x, train_u, val, test

    @property
    def train_x(self):
        return self.__train_x

    @property
    def train_u(self):
        return self.__train_u

    @property
    def val(self):
        return self.__val

    @property
    def test(self):
        return self.__test

    @property
    def lab2cname(self):
        return {item.label: item.classname for item in self.train_x}

    @property
    def classnames(self):
        names = self.lab2cname
        return [names[label] for label in sorted(names)]

    @property
    def num_classes(self):
        return max(item.label for item in self.train_x) + 1

    def split_dataset_by_label(self, data_source):
        output = defaultdict(list)
        for item in data_source:
            output[item.label].append(item)
        return output

    def generate_fewshot_dataset(self, *data_sources, num_shots=-1, repeat=False):
        if num_shots < 1:
            return data_sources[0] if len(data_sources) == 1 else data_sources
        print(f"Creating a {num_shots}-shot dataset")
        output = []
        for source in data_sources:
            chosen = []
            for items in self.split_dataset_by_label(source).values():
                if len(items) >= num_shots:
                    chosen += random.sample(items, num_shots)
                else:
                    chosen += random.choices(items, k=num_shots) if repeat else items
            output.append(chosen)
        return output[0] if len(output) == 1 else output
