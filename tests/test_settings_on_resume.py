"""Every setting says whether a run that goes on may change it."""

from fromnoise.common.options import all_settings
from fromnoise.settings import HARMLESS, SCHEDULABLE, STRUCTURAL, Settings


def test_every_setting_stands_in_one_table():
    stand = [
        f"{section}.{key}"
        for table in (HARMLESS, SCHEDULABLE, STRUCTURAL)
        for section in table
        for key in table[section]
    ]
    assert set(all_settings(Settings)) <= set(stand) and len(stand) == len(set(stand))
