"""Airflow 3: the nightly `kedro run` as one task, so that it is one run in MLflow, too.

Airflow has its own environment; this task starts the project's. Copy this file to Airflow's `dags/` folder, and let a
variable of Airflow name the project's folder on the worker: airflow variables set minigpt_project FOLDER.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = "{{ var.value.minigpt_project }}"
LOCKED = 75
"""The exit code of `kedro run` where another one is at work in the project: the task is skipped, not failed."""

with DAG(
    dag_id="minigpt_retraining",
    description="From new data to the decision which model is in use",
    schedule="0 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["minigpt"],
):
    BashOperator(
        task_id="kedro_run",
        # With `exec` a run that Airflow ends gets the signal itself; a training goes on from its newest checkpoint.
        bash_command=f"cd '{PROJECT}' && exec .venv/bin/kedro run --pipelines retraining --env base",
        append_env=True,
        env={"MINIGPT_SCHEDULE": "airflow"},
        skip_on_exit_code=LOCKED,
        retries=2,
        retry_delay=timedelta(minutes=5),
        retry_exponential_backoff=True,
        execution_timeout=timedelta(hours=6),
    )
