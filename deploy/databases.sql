-- PostgreSQL runs this once, in a new volume: MLflow's database is there already.
CREATE DATABASE dagster;
