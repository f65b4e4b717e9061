"""deploy/kubernetes/: the API knows each field, the restricted profile admits each pod, and names go together."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from minigpt_pipeline.cli import run
from minigpt_pipeline.scheduling.home import Home
from minigpt_pipeline.scheduling.housekeeping import find_variables
from minigpt_pipeline.serving.access import OPEN

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy/kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
Manifest = dict[str, Any]


def read(*paths: Path) -> list[Manifest]:
    return [manifest for path in paths for manifest in yaml.safe_load_all(path.read_text())]


MANIFESTS = read(*FILES)


def find(kind: str, name: str) -> Manifest:
    (found,) = (one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def list_pods() -> Iterator[tuple[str, Manifest]]:
    for manifest in MANIFESTS:
        if manifest["kind"] in {"Deployment", "Job"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


@pytest.fixture
def launcher(tmp_path: Path) -> Manifest:
    """How the schedules ask for Jobs of runs."""
    (tmp_path / ".dagster").mkdir()
    Home(tmp_path).configure("kubernetes")
    configuration = yaml.safe_load((tmp_path / ".dagster/dagster.yaml").read_text())
    return dict(configuration["run_launcher"]["config"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_api_knows_each_field(path: Path) -> None:
    for manifest in read(path):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_each_file_is_applied_or_is_an_example() -> None:
    applied = set(KUSTOMIZATION["resources"])

    assert {path.name for path in FILES} - applied == {"secrets.example.yaml", "training.example.yaml"}
    assert all((FOLDER / name).exists() for name in applied)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_runs_have_the_image_that_an_overlay_names(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "base")
    overlay = {
        "resources": ["base"],
        "images": [{"name": "minigpt-pipeline", "newName": "registry.example/minigpt", "newTag": "7"}],
        "replacements": KUSTOMIZATION["replacements"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))

    result = subprocess.run(["kubectl", "kustomize", tmp_path], capture_output=True, text=True, check=True)

    made = list(yaml.safe_load_all(result.stdout))
    (told,) = (one["data"]["MINIGPT_IMAGE"] for one in made if one["kind"] == "ConfigMap")
    assert told == "registry.example/minigpt:7"
    assert set(re.findall(r"image: (.*)", result.stdout)) == {told}
    assert {one["metadata"].get("namespace") for one in made if one["kind"] != "Namespace"} == {"minigpt"}


def test_the_restricted_profile_admits_each_pod() -> None:
    assert (
        find("Namespace", "minigpt")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    for name, pod in list_pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["enableServiceLinks"] is False, name  # MLFLOW_PORT would be an address
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, name
            assert (rights["capabilities"], rights["readOnlyRootFilesystem"]) == ({"drop": ["ALL"]}, True), (
                name
            )
            assert {"requests", "limits"} <= set(container["resources"]), name


def test_volumes_secrets_and_settings_are_there(launcher: Manifest) -> None:
    names = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS}
    pods = [pod for _, pod in list_pods()] + [launcher]
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    sources = [
        source for _, pod in list_pods() for one in pod["containers"] for source in one.get("envFrom", ())
    ]
    asked = {("ConfigMap", one["configMapRef"]["name"]) for one in sources if "configMapRef" in one}
    asked |= {("Secret", one["secretRef"]["name"]) for one in sources if "secretRef" in one}
    asked |= {("ConfigMap", name) for name in launcher["env_config_maps"]}
    asked |= {("Secret", name) for name in launcher["env_secrets"]}
    asked |= {("ServiceAccount", launcher["service_account_name"])}

    assert {("PersistentVolumeClaim", claim) for claim in claims} | asked <= names
    told = find("ConfigMap", "minigpt")["data"] | find("Secret", "minigpt-dagster")["stringData"]
    assert set(find_variables(launcher)) | {"DAGSTER_POSTGRES_URL"} <= set(told)
    assert told["MINIGPT_INSTANCE"] == "kubernetes"
    assert told["MINIGPT_NAMESPACE"] == KUSTOMIZATION["namespace"]


def test_runs_and_schedules_share_the_project(launcher: Manifest) -> None:
    def read_mounts(container: Manifest) -> dict[str, str]:
        mounts = container.get("volumeMounts") or container["volume_mounts"]
        return {mount["mountPath"]: mount["subPath"] for mount in mounts if "subPath" in mount}

    (schedules,) = find("Deployment", "schedules")["spec"]["template"]["spec"]["containers"]
    (training,) = find("Job", "training")["spec"]["template"]["spec"]["containers"]

    assert read_mounts(launcher) == read_mounts(schedules)
    assert read_mounts(training).items() <= read_mounts(schedules).items()
    assert launcher["dagster_home"] in read_mounts(schedules)


def test_a_new_volume_gets_what_the_image_has_and_a_used_one_is_left_alone(tmp_path: Path) -> None:
    (container,) = find("Deployment", "schedules")["spec"]["template"]["spec"]["initContainers"]
    volume, image = tmp_path / "project", tmp_path / "image"
    (image / "data/01_raw").mkdir(parents=True)
    (image / "data/01_raw/sample_reviews.tar.gz").write_text("of the image")
    (volume / "data/01_raw/served").mkdir(parents=True)  # by a pod that was faster
    shell, options, script = container["args"]
    command = [shell, options, script.replace("/project", str(volume))]

    subprocess.run(command, cwd=image, check=True)
    assert (volume / "data/01_raw/sample_reviews.tar.gz").read_text() == "of the image"
    assert (volume / "dagster").is_dir()
    (volume / "data/01_raw/sample_reviews.tar.gz").write_text("of somebody")
    subprocess.run(command, cwd=image, check=True)
    assert (volume / "data/01_raw/sample_reviews.tar.gz").read_text() == "of somebody"


def test_the_schedules_may_do_what_their_launcher_does_and_runs_nothing() -> None:
    (binding,) = (one for one in MANIFESTS if one["kind"] == "RoleBinding")
    (role,) = (one for one in MANIFESTS if one["kind"] == "Role")
    rights = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }

    assert [subject["name"] for subject in binding["subjects"]] == ["minigpt-schedules"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert {("jobs", "create"), ("jobs", "delete"), ("jobs/status", "get"), ("pods", "list")} <= rights
    assert "*" not in json.dumps(role)
    assert "secrets" not in {resource for resource, _ in rights}


def test_services_and_policies_name_ports_and_pods_that_there_are() -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in MANIFESTS
        if one["kind"] in {"Deployment", "Job"}
    }
    ports = {
        name: {port["name"] for one in pod["containers"] for port in one["ports"]}
        for name, pod in list_pods()
    }
    for service in (one for one in MANIFESTS if one["kind"] == "Service"):
        name = service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= labels[name].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[name]
    for policy in (one for one in MANIFESTS if one["kind"] == "NetworkPolicy"):
        name, chosen = policy["metadata"]["name"], policy["spec"]["podSelector"].get("matchLabels", {})
        if name == "nobody":
            assert (chosen, policy["spec"].get("ingress")) == ({}, None)
            continue
        assert chosen.items() <= labels[name].items()
        assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= ports[name]
    for deployment, further in (("schedules", ["--behind-proxy"]), ("serving", [])):
        (container,) = dict(list_pods())[deployment]["containers"]
        assert container["args"][3:] == ["--host", "0.0.0.0", *further]
    store = find("ConfigMap", "minigpt")["data"]["MLFLOW_TRACKING_URI"]
    (port,) = find("Service", "mlflow")["spec"]["ports"]
    assert store == f"http://mlflow:{port['port']}"


def test_the_server_has_a_key_and_its_probes_need_none() -> None:
    (container,) = find("Deployment", "serving")["spec"]["template"]["spec"]["containers"]
    secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
    probes = {
        container[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe", "startupProbe")
    }

    assert secrets == ["minigpt-serving"]
    assert list(find("Secret", "minigpt-serving")["stringData"]) == ["MINIGPT_SERVING_KEY"]
    assert probes <= OPEN
    others = [pod for name, pod in list_pods() if name != "serving"]
    assert "minigpt-serving" not in json.dumps(others)  # nobody else has it


def test_the_server_has_time_to_end_and_threads_for_its_cores() -> None:
    pod = find("Deployment", "serving")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = yaml.safe_load((PROJECT / "conf/base/serving.yml").read_text())
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])

    assert pod["terminationGracePeriodSeconds"] >= pause + settings["max_seconds_to_end"] + 15
    assert (
        container["readinessProbe"]["httpGet"]["path"],
        container["livenessProbe"]["httpGet"]["path"],
    ) == (
        "/ready",
        "/health",
    )
    assert container["ports"] == [{"name": "http", "containerPort": settings["port"]}]
    threads = {one["name"] for one in container["env"] if "resourceFieldRef" in one["valueFrom"]}
    assert threads == {"TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"}
    scaler = find("HorizontalPodAutoscaler", "serving")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "serving"
    assert "replicas" not in find("Deployment", "serving")["spec"]  # the scaler's, also behind a second apply


@pytest.mark.parametrize("index", ["0", "1"])
def test_each_worker_of_a_training_knows_the_others(index: str) -> None:
    job, service = find("Job", "training"), find("Service", "training")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    script, _, command = container["args"][2].strip().partition("\nexec kedro run ")

    told = subprocess.run(
        ["sh", "-c", f'{script}\nprintf %s "$TF_CONFIG"'],
        env={"JOB_COMPLETION_INDEX": index},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    config = json.loads(told)

    port = container["ports"][0]["containerPort"]
    names = [f"training-{number}.{pod['subdomain']}:{port}" for number in range(job["spec"]["completions"])]
    assert config == {"cluster": {"worker": names}, "task": {"type": "worker", "index": int(index)}}
    assert (service["metadata"]["name"], service["spec"]["clusterIP"]) == (pod["subdomain"], "None")
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["parallelism"] == job["spec"]["completions"]
    options = run.make_context("run", command.split()).params
    assert (options["pipelines"], options["params"]) == (["training"], {"strategy": "multi_worker"})
