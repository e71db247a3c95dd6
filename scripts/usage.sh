# Sourced by run.sh: the arguments of each protocol. Reads protocol, trainer, host and command; defines `usage`, which
# prints the usage, and `check`, which refuses too few arguments.
takes() { words=$1 example=$2 does=$3; }
more="[KEY VALUE ...]"
unknown='' method=$trainer
if [ -z "$trainer" ]; then trainer="the method TRAINER"; fi
case $protocol in
  base2new_train) takes "DATASET SEED" "digits 1" "Trains $trainer on the base classes and tests it on them." ;;
  base2new_test) takes "DATASET SEED" "digits 1" "Tests $trainer, trained by base2new_train.sh, on the new classes." ;;
  open_world_test)
    takes "DATASET SEED" "digits 1" "Tests $trainer, trained by base2new_train.sh, on base and new classes together." ;;
  xd_train) takes "SOURCE SEED" "shapes 1" "Trains $trainer on all classes of a source dataset and tests it on them." ;;
  xd_test) takes "TARGET SEED" "digits 1" "Tests $trainer, trained by xd_train.sh, on other datasets." ;;
  dg_test) takes "TARGET SEED" "shapes_sketch 1" "Tests $trainer, trained by xd_train.sh, on shifted variants of its source." ;;
  few_shot) takes "DATASET SEED" "digits 1" "Trains $trainer on SHOTS images of each class and tests it on all classes." ;;
  noise_train)
    takes "DATASET SEED TYPE RATE" "digits 1 sym_other 0.5" "Trains $trainer on wrong labels and tests it on right ones." ;;
  noise_xd_train)
    takes "SOURCE SEED TYPE RATE" "shapes 1 sym_other 0.5" "Trains $trainer on a source dataset with wrong labels." ;;
  noise_xd_test)
    takes "TARGET SEED TYPE RATE" "digits 1 sym_other 0.5" "Tests $trainer, trained by noise_xd_train.sh, on other datasets." ;;
  real_noise_train)
    takes "DATASET SEED" "food101n 1" "Trains $trainer on web images as they are labelled (food101n, webvision)." ;;
  real_noise_test)
    takes "DATASET SEED" "food101n 1" "Tests $trainer, trained by real_noise_train.sh, on the dataset's other test set." ;;
  corruption_test)
    takes "DATASET SEED" "digits 1 fog,frost 1,3,5" "Tests $trainer, trained by few_shot.sh, on corrupted images."
    more="[CORRUPTIONS SEVERITIES] $more" ;;
  text_noise_test)
    takes "DATASET SEED" "digits 1 typo,ocr 0.1,0.4" "Tests $trainer, trained by few_shot.sh, with noisy class names and prompts."
    more="[KINDS STRENGTHS] $more" ;;
  test_time)
    takes "DATASET SEED" "digits 1 4 100" "Tests $trainer on clean images or, with EPS and STEPS, on images attacked by PGD."
    more="[EPS STEPS] $more" ;;
  online)
    takes "DATASET SEED" "digits 1" "Tests $trainer on the stream of clean images or, with EPS and STEPS, of attacked ones."
    more="[EPS STEPS] $more" ;;
  "") takes "PROTOCOL TRAINER DATASET SEED" "base2new_train CoOp digits 1" "Runs a protocol of a method." ;;
  *) takes "DATASET SEED" "digits 1" "Runs the protocol $protocol of $trainer." && unknown=1 ;;
esac
if [ -n "$protocol" ] && [ -z "$method" ]; then words="TRAINER $words" example="CoOp $example"; fi
if [ -n "$host" ]; then words="HOST $words" example="CoOp $example"; fi
if [ "$trainer" = ZeroshotCLIP ]; then does="$does It is not trained: it is only tested."; fi

about() {
  case $1 in
    PROTOCOL) echo "one of runs/protocols.py, such as those of scripts/coop/, test_time or online" ;;
    TRAINER) echo "a method, as \`python -m trainers list\` names it, or one of PLUGIN" ;;
    HOST) echo "the method to which $added is added, such as CoOp" ;;
    DATASET) echo "one dataset, several with commas, or a group: all, embedded" ;;
    SOURCE) echo "the dataset to train on: imagenet, or shapes of the embedded suite" ;;
    TARGET) echo "one dataset, several with commas, or all: those that belong to the source" ;;
    SEED) echo "a whole number" ;;
    TYPE) echo "the type of label noise, such as sym_other (docs/label_noise.md)" ;;
    RATE) echo "the share of wrong labels, from 0 to below 1" ;;
  esac
}

usage() {
  echo "usage: bash $command $words $more"
  echo "$does"
  echo
  for word in $words; do printf '  %-9s  %s\n' "$word" "$(about "$word")"; done
  case $more in *STEPS*) printf '  %-9s  %s\n' EPS "largest change of a pixel, in 1/255" STEPS "steps of the attack" ;; esac
  case $more in *STRENGTHS*)
    printf '  %-9s  %s\n' KINDS "typo, case, ocr, distractor, paraphrase, embedding, synonym, template; all: the first six" STRENGTHS "numbers with commas; all: those of docs/text_noise.md" ;;
  esac
  case $more in *SEVERITIES*)
    printf '  %-9s  %s\n' CORRUPTIONS "names with commas, all (the 15), noise, blur, weather, digital, extra" SEVERITIES "from 1 to 5" ;;
  esac
  printf '  %-9s  %s\n' "KEY VALUE" "config pairs, such as OPTIM.MAX_EPOCH 10 or OPTIM.MAX_EPOCH=10"
  echo
  echo "environment: DATA, CFG, SHOTS, OUTPUT, LOADEP, SOURCE, PLUGIN, PLUGIN_CFG, PYTHON (docs/protocols.md)"
  echo "example: bash $command $example"
}

check() { # the words that were given
  given=$# missing=
  for word in $words; do
    if [ "$given" -gt 0 ]; then given=$((given - 1)); else missing="$missing $word"; fi
  done
  [ -z "$missing" ] || {
    echo "error: nothing is given for$missing; bash $command --help says what it is." >&2
    echo "usage: bash $command $words $more" >&2
    exit 2
  }
}
