from collections import OrderedDict

from .build import EVALUATOR_REGISTRY


class EvaluatorBase:
    def __init__(self, cfg):
        self.cfg = cfg


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    def __init__(self, cfg, lab2cname=None, **kwargs):
        super().__init__(cfg)
        self._lab2cname = lab2cname
        self.reset()

    def reset(self):
        self._correct = self._total = 0

    def process(self, mo, gt):
        self._correct += int(mo.max(1)[1].eq(gt).sum().item())
        self._total += gt.shape[0]

    def evaluate(self):
        accuracy = 100.0 * self._correct / self._total
        print(
            f"=> result\n* total: {self._total:,}\n* correct: {self._correct:,}\n* accuracy: {accuracy:.1f}%\n"
            f"* error: {100.0 - accuracy:.1f}%"
        )
        return OrderedDict(accuracy=accuracy, error_rate=100.0 - accuracy)
