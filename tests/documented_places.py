"""What the tests do with each command that the documents show (test_documented_commands.py). The first rule whose
pattern fits a command from its beginning is its place; a command that none fits needs one.

RUN and LONG are executed in this order in one checkout, in a short form: what a later one reads, an earlier one made.
LONG takes minutes in all: with `pytest --long`; else it is only asked, like ASKED: its own parser takes it, its config
is resolved or its suite planned, and nothing is computed. NAMED has a placeholder, or is a name in running text: the
command answers to --help. TESTED: another test runs it. SHELL: no command of this project.
"""

from __future__ import annotations

RUN = (
    r"python -m robustprompt$",
    r"python -m robustprompt list$",
    r"python -m robustprompt plan --help$",
    r"python -m trainers list$",
    r"python -m language check$",
    r"python -m clipkit cache( verify)?$",
    r"python -m datasets noise digits --type idn ",
    r"python -m bench (plan|status) configs/suites/embedded\.yaml",
    r"python -m bench (plan|status) (mine|tuned)\.yaml(?! --measure)",
    r"python train\.py --show-config --trainer JoAPR ",
    r"python train\.py --root data --seed 1 --trainer CoOp .* --output-dir output/try DATASET",
    r"python train\.py --plugin (near_coop\.py|tests/|Fork=tests/)",
    r"PLUGIN=tests/\S+ PLUGIN_CFG=\S+ CFG=\S+ bash scripts/run\.sh base2new_train FieldCoOp digits 1$",
    r"bash scripts/run\.sh --help$",
    r"bash scripts/(coop|anprompt)/base2new_(train|test)\.sh digits 1$",
    r"bash scripts/coop/few_shot\.sh digits 1$",
    r"bash scripts/(sar|dept)/base2new_(train|test)\.sh CoOp digits 1$",
    r"bash scripts/run\.sh base2new_train ZeroshotCLIP2 digits 1$",
    r"bash scripts/coop/open_world_test\.sh digits 1$",
    r"python -m bench\.table output( --latex table\.tex)?$",
    r"python -m bench collect output/base2new ",
    r"python -m bench pack output/base2new results\.tar\.xz$",
    r"python -m bench compare output/base2new ",
    r"python -m bench report output --output report\.html$",
    r"python -m bench card output$",
    r"python predict\.py .*/ANPrompt/embedded/seed1 --top 3 photos/$",
    r"python -m bench score output/base2new/train_base/digits/shots_16/CoOp/embedded/seed1$",
    r"python -m bench score output/(base2new|open_world) ",
    r"python -m clipkit cache clear$",
)
LONG = (
    r"python -m datasets\.embedded make ",
    r"bash scripts/coop/corruption_test\.sh digits 1 fog,noise ",
    r"python -m bench corruptions output$",
    r"bash scripts/coop/text_noise_test\.sh digits 1 typo,ocr ",
    r"bash scripts/coop/xd_train\.sh shapes 1$",
    r"SOURCE=shapes bash scripts/coop/(xd|dg)_test\.sh all 1$",
    r"SOURCE=shapes bash scripts/dpsep/noise_xd_(train|test)\.sh ",
    r"bash scripts/maple/(noise_train|base2new_train)\.sh digits 1 ",
    r"bash scripts/atprompt/base2new_train\.sh MaPLe digits 1$",
    r"OUTPUT=\S+ bash scripts/anprompt/few_shot\.sh digits 1 LANGUAGE\.WRONG_RATE ",
    r"bash scripts/tda/online\.sh digits 1$",
    r"OUTPUT=\S+ bash scripts/tda/online\.sh digits 1 TRAINER\.STREAM\.ORDER ",
    r"bash scripts/apt/few_shot\.sh digits 1$",
    r"bash scripts/adv/eval\.sh (apt|CoOp) digits 1 4 100 W$",
    r"python -m bench plan mine\.yaml --measure$",
    r"python -m bench run mine\.yaml ",
    r"python predict\.py .*/CoOp/embedded/seed1 --output letters\.npz data/letters/$",
    r"python -m bench score \S+ --ood letters\.npz$",
)
REAL = r"\b(caltech101|eurosat|imagenet|dtd|ucf101|oxford_pets|webvision|sun397)\b"
ASKED = {
    rf".*{REAL}": "images that are not in the tree",
    r"python -m datasets doctor --root \S+$": "says what is missing",
    r"python -m robustprompt doctor": "looks at this computer",
    r"python -m bench run configs/suites/": "hours; its suite is planned",
    r"python -m bench run tuned\.yaml$": "long; its suite is planned",
    r"python -m bench select (tuned|configs/suites/selection)\.yaml( --seeds 1)?$": "needs the candidates",
    r"python -m bench claims (plan|run|--tables-only)": "hours; its suite is planned",
    r"python -m bench\.[\w]+ ": "hours; its suite is planned",
    r"python -m bench (compare|collect|report|card|corruptions) output": "results of suites that take hours",
    r"python -m bench score theirs\.npz ": "predictions of another project",
    r"python -m speed\.": "times this computer",
    r"python -m datasets\.embedded": "draws a picture of the documents, or trains for hours",
    r"python -m datasets (attack|corrupt) ": "long, or a picture of the documents; the attack is in a tutorial",
    r"python -m language (check|encode) ": "files of the reader",
    r"python -m clipkit (export|info|fetch) ": "files of the reader, or the network",
    r"python -m trainers (new|export) ": "writes into the checkout; tests/trainers has it",
    r"python -m robustness clipure digits ": "an hour",
    r"python -m bench score \S+ --dac ": "needs outputs that keep all logits",
    r"python predict\.py ": "files of the reader",
    r"(SHOTS|SOURCE|OUTPUT|CHECKS|DATA)=\S+ (CFG=\S+ )?bash scripts/\w+/\w+\.sh ": "long",
    r"OUTPUT=\S+ bash scripts/run\.sh few_shot ": "long",
    r"bash scripts/(\w+/\w+|run)\.sh \S": "long",
    r"python train\.py --plugin \.\./": "a checkout of the reader's",
    r"python train\.py --root data .* --eval-only ": "attacked pictures that a command before it makes",
    r"python train\.py --root data --seed 1 --trainer CoOp .*configs/datasets/my_images\.yaml ": "images of the reader",
}
NAMED = (
    r".*(\.\.\.|\||\[|(?<![\w.=])(NAME|FILE|FOLDER|RUNS?|WORD|OUTPUT|SUITE\.yaml|DATASET|RUN_FOLDER)(?![\w.=]))",
    r"python train\.py$",
    r"python -m [\w.]+( \w+)?( --(means|ensemble|tables-only))?$",
)
TESTED = {
    r"bash scripts/run\.sh tuning |python -m bench (plan|run) tuning\.yaml": "bench/test_add_a_protocol.py",
    r"cp -R \S+ scripts/mymethod$|bash scripts/mymethod/|python -m pytest .*test_mymethod": (
        "interop/export/test_new_method.py"
    ),
    r"for script in scripts/\*/few_shot": "bench/test_add_a_protocol.py",
    r"bash scripts/links\.sh$": "scripts/test_links.py",
    r"mkdocs (build|serve)$": "test_site.py",
    r"python -m robustprompt\.reference$": "robustprompt/test_reference.py",
    r"python train\.py --root DATA .*/digits\.yaml .* OPTIM\.MAX_EPOCH 2$": "runs/test_banks.py",
}
SHELL = {
    r"(\w+=\S+ )*bash scripts/(demo|setup)\.sh$": "installs",
    r"bash scripts/test\.sh|(\S+/)?python -m (pytest|ruff|mypy)": "the tests themselves",
    r"(\S+/)?(pip|uv) |(\S+/)?python -m pip |python3 -m venv |apt-get ": "installs",
    r"git clone |cd |flock |tail -n |tar -xJf ": "the shell's own",
    r"sbatch |squeue|scontrol |python tests/slurm/cluster\.py ": "needs Slurm",
    r"PYTHONPATH=\S+/engine_only python train\.py ": "train.py of CoOp's checkout",
}
