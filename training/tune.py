"""Everything about a model that is chosen on dev, on rows that it was not trained on."""

from collections.abc import Sequence

from models.calibration import Cascade, Settings, TaskCalibration
from models.classifier import Classifier, PartScores
from models.scores import Array
from training.abstain import fit_bounds
from training.calibrate import fit_task
from training.cascade import fit_cascade
from training.config import TrainConfig
from training.datasets import Dataset
from training.scope import fit_scope


def tune(
    classifier: Classifier,
    train_set: Dataset,
    dev_set: Dataset,
    languages: Sequence[str],
    parts: PartScores,
    config: TrainConfig,
) -> Settings:
    """How the parts are combined, answers chosen and doubtful ones marked, per task; the cascade; the scope.

    Args:
        classifier: the trained parts.
        train_set: what they were trained on.
        dev_set: rows to choose by; without any the defaults stay.
        languages: of these rows.
        parts: what the parts say of them.
        config: every setting.
    """
    settings: dict[str, dict[str, TaskCalibration]] = {"combined": {}, "linear": {}, "transformer": {}}
    cascade: dict[str, Cascade] = {}
    for name, task in classifier.schema.tasks.items():
        rows = dev_set.labelled(name)
        truth, spoken = dev_set.targets[name][rows], [languages[row] for row in rows]
        learnt = train_set.targets[name][train_set.labelled(name)]
        at_least_one, shares = bool(learnt.any(axis=1).all()), learnt.mean(axis=0)
        linear = parts.linear[name][rows]
        transformer = None if parts.transformer is None else parts.transformer[name][rows]
        calibrated: dict[str, Array] = {}
        for part, (one, other) in _sides(linear, transformer).items():
            setting = fit_task(
                task, truth, one, other, shares, at_least_one=at_least_one, abstain_below=config.abstain_below
            )
            calibrated[part] = setting.combine(task, one, other)
            settings[part][name] = fit_bounds(task, truth, calibrated[part], spoken, setting, config.precision)
        if transformer is not None:
            both = settings["linear"][name], settings["combined"][name]
            found = fit_cascade(task, truth, calibrated["linear"], calibrated["combined"], both, config.seed)
            cascade |= {name: found} if found else {}
    # a text is answered by the linear part alone only where every task may be
    return Settings(
        **settings,
        cascade=cascade if len(cascade) == len(classifier.schema.tasks) else {},
        scope=fit_scope(parts, languages, config.scope_share),
        out_of_scope=config.out_of_scope,
    )


def _sides(linear: Array, transformer: Array | None) -> dict[str, tuple[Array, Array | None]]:
    """What the whole is combined of, and each part alone."""
    if transformer is None:
        return {"combined": (linear, None), "linear": (linear, None)}
    return {"combined": (linear, transformer), "linear": (linear, None), "transformer": (transformer, None)}
