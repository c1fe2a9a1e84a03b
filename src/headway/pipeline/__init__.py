"""What is done with a project.

runs         a run of it: opened, timed, tracked, concluded, summed up
stages       validate, prepare, train, evaluate, register: plain functions of a run's folder
validation   the findings of the first stage
exam         the test data of a run, and what is asked of them: exam_of_rows, exam_of_text
assessment   the model, the baselines and the champion on the same test rows
other_columns  rows of a champion that was trained with columns which the YAML names no more
rival        the champion that a candidate is held against
judgement    the gate, and what it says
incremental  whether there is anything to retrain
resuming     runs that were interrupted, and where they go on
zombies      runs whose process died, closed
seeds        one project, many seeds
effects      the effect study as a run
watching     the newest rows against those that the champion learnt from
explaining   reasons for single rows; reasons: as they are shown
scoring      files through a registered bundle, to Parquet
serving      a registered bundle over HTTP
page         report.html, all of a run on one page: page_records, page_tables, page_facts; reports: which run's, or a study's
terminal     what people see of it in a terminal; layout: how that fits; tables: an evaluation as rows of texts
retention    what old runs and versions leave on disk, and when it goes
"""
