"""What Dagster loads: the definitions of what `make schedule` has checked at its start."""

from minigpt_pipeline.scheduling.definitions import make_definitions
from minigpt_pipeline.scheduling.home import find_home
from minigpt_pipeline.scheduling.schedule_settings import ScheduleSettings

home = find_home()
defs = make_definitions(ScheduleSettings.model_validate_json(home.settings.read_text(encoding="utf-8")), home)
