"""What `headway COMMAND --help` says below the options: an explanation where one is needed, and examples."""

from __future__ import annotations

DEMO = """In a folder of its own: both servers, two retrainings of a small loan book, a
drift that starts a third, a rollback, and a study of a minute. At the end it
prints the pages to look at, and serves them until Enter or Ctrl-C; without a
terminal it ends at once.

examples:
  headway demo
  headway demo --folder /tmp/demo"""
DEPLOY = """For production: workers on any machine run the deployments of a Prefect server.

example:
  headway deploy
  prefect work-pool create --type process headway
  prefect deploy --all
  prefect worker start --pool headway"""
BACKUP = """example:
  headway backup --to /mnt/safe/
  headway restore /mnt/safe/headway-20300101-020000Z.tar"""
GC = """Always kept: everything that a registered version needs, running runs, the
newest runs, and files of the last hour.

examples:
  headway gc
  headway gc loans adult --apply"""
REPORT = """One self-contained page, made from the run's folder; no server and no network
are needed.

examples:
  headway report loans
  headway report loans loans-20300101-020000Z --json"""
DOCTOR = """One line for each finding: where, what, and the repair. The exit code is 5
while something is left. Damaged files are renamed to NAME.damaged, and not
read any more. Run it while nothing else runs here.

examples:
  headway doctor
  headway doctor --apply --json"""
WATCH = """Drift is no failure: the exit code is 0 with and without it. --json has
"drifted": true or false, and null where the champion was trained on every
file, so that there is nothing to compare.

examples:
  headway watch loans
  headway watch loans --data new/2026-01.parquet --json"""
ROLLBACK = """examples:
  headway rollback adult --reason "complaints since Monday"
  headway rollback loans --to 3 --json"""
RUN = """examples:
  headway run adult
  headway run adult --set model=boosting
  headway run adult --set train.epochs=3 --set model.width=512 --json"""
RESUME = """Training continues from the last checkpoint and reaches the same weights.
Evaluation and registration follow, in the same MLflow run.

examples:
  headway resume adult-20300101-020000Z
  headway run adult --resume"""
INIT = """examples:
  headway init --data bikes.csv --target count
  headway init --data ratings.data --target rating --header user,film,rating,time
  headway init --data umsatz.csv --target Betrag --encoding cp1252 --delimiter ";" --set data.date_format=%d/%m/%Y
  headway run bikes"""
SEEDS = """examples:
  headway seeds german-credit --set model=mlp
  headway seeds german-credit --set model=mlp --count 4 --rates 0.0003 0.001 0.003"""
EFFECT = """An interrupted study is resumed. conf/NAME.recipe.yaml holds the recommended
recipe.

examples:
  headway effect adult --budget 10m
  headway effect adult --techniques bf16 "fused optimizer" compile-default
  headway run adult --recipe"""
SAMPLE = """example:
  headway sample shakespeare --prompt "ROMEO:\""""

SCORE = """One Parquet file for each file of data: keys, prediction, probability_<class>
for each class or an interval, the version. Rows with a value that its column
cannot have go to NAME.refused.parquet, each with the reason; manifest.json
holds the counts. An interrupted scoring is resumed. A file that the same
version has scored already is not scored again.

examples:
  headway score adult --data new-people.csv
  headway score loans --data data/incoming --out /srv/scores/loans --version 3"""
EXPLAIN = """For each row: the prediction, and the columns that raise or lower it most, with
their values. Contributions are in log-odds of a class, or in the target's
unit. Together with an average, which is given too, they add up to the
prediction. Rows are read and refused as by score. Without --out the first ten
rows are shown; with it there is one Parquet file for each file of rows.

examples:
  headway explain adult --rows new-people.csv
  headway explain loans --rows data/incoming --out reasons --top 10"""
SERVE = """example:
  headway serve california-housing --port 5001
  curl -s localhost:5001/invocations -H 'Content-Type: application/json' -d '{"inputs": [{...}]}'
  curl -s localhost:5001/invocations -H 'Content-Type: text/csv' --data-binary @rows.csv"""
