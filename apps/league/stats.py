"""The ten statistics functions, and what each cache tag shows. README.md defines the figures."""

from __future__ import annotations

from dataclasses import dataclass

from apps.league.errors import UnknownNameError


@dataclass(frozen=True)
class StatsFunction:
    """One statistics function under its documented names."""

    name: str
    rpc_name: str
    """The SQL function in schema `league`; it returns the number of rows that it wrote."""
    cache_tags: tuple[str, ...]


@dataclass(frozen=True)
class CacheTag:
    """What is shown under a cache tag."""

    name: str
    tables: tuple[str, ...]
    """The result tables, in schema `league`."""
    columns: tuple[str, ...]
    """What a terminal shows of a row; `--json` has all of it."""


STATS_FUNCTIONS = (
    StatsFunction(
        "call-update-half-and-full-season-stats",
        "update_half_and_full_season_stats",
        ("season_stats", "half_season_stats"),
    ),
    StatsFunction(
        "call-update-all-time-stats",
        "update_aggregated_all_time_stats",
        ("all_time_stats",),
    ),
    StatsFunction(
        "call-update-hall-of-fame",
        "update_aggregated_hall_of_fame",
        ("hall_of_fame",),
    ),
    StatsFunction(
        "call-update-recent-performance",
        "update_aggregated_recent_performance",
        ("recent_performance",),
    ),
    StatsFunction(
        "call-update-season-honours-and-records",
        "update_aggregated_season_honours_and_records",
        ("honour_roll",),
    ),
    StatsFunction(
        "call-update-match-report-cache",
        "update_aggregated_match_report_cache",
        ("match_report",),
    ),
    StatsFunction(
        "call-update-personal-bests",
        "update_aggregated_personal_bests",
        ("personal_bests",),
    ),
    StatsFunction(
        "call-update-player-profile-stats",
        "update_aggregated_player_profile_stats",
        ("player_profile_stats",),
    ),
    StatsFunction(
        "call-update-season-race-data",
        "update_aggregated_season_race_data",
        ("season_race_data",),
    ),
    StatsFunction(
        "call-update-power-ratings",
        "update_power_ratings",
        ("player_power_rating",),
    ),
)

_PLAYER = ("player_id", "name")
_RECORD = ("games_played", "wins", "draws", "losses", "goals", "win_percentage")

CACHE_TAGS = (
    CacheTag("season_stats", ("season_stats",), ("season", *_PLAYER, *_RECORD, "points")),
    CacheTag(
        "half_season_stats",
        ("half_season_stats",),
        ("season", "half", *_PLAYER, *_RECORD, "points"),
    ),
    CacheTag("all_time_stats", ("all_time_stats",), (*_PLAYER, *_RECORD)),
    CacheTag("hall_of_fame", ("hall_of_fame",), ("category", "rank", *_PLAYER, "value")),
    CacheTag(
        "recent_performance",
        ("recent_performance",),
        (*_PLAYER, "games_played", "results", "points", "goals"),
    ),
    CacheTag(
        "honour_roll",
        ("honour_roll",),
        ("season", "honour", *_PLAYER, "value", "match_id", "date", "match"),
    ),
    CacheTag(
        "match_report",
        ("match_report",),
        ("date", "match", "kind", "team", *_PLAYER, "value"),
    ),
    CacheTag(
        "personal_bests",
        ("personal_bests",),
        (
            *_PLAYER,
            "best_match_goals",
            "best_match_id",
            "longest_win_streak",
            "longest_scoring_streak",
        ),
    ),
    CacheTag(
        "player_profile_stats",
        ("player_profile_stats", "player_profile_team_mates"),
        (*_PLAYER, *_RECORD, "best_season", "commonest_team_mate"),
    ),
    CacheTag(
        "season_race_data",
        ("season_race_data",),
        ("season", "date", *_PLAYER, "points", "games_played"),
    ),
    CacheTag(
        "player_power_rating",
        ("player_power_rating", "player_power_rating_per_match"),
        (*_PLAYER, "rating", "games_played", "last_match_id"),
    ),
)


def stats_function(rpc_name: str) -> StatsFunction:
    """Return the function with this documented RPC name."""
    for function in STATS_FUNCTIONS:
        if function.rpc_name == rpc_name:
            return function
    known = [function.rpc_name for function in STATS_FUNCTIONS]
    raise UnknownNameError("statistics function", rpc_name, known)


def cache_tag(name: str) -> CacheTag:
    """Return the cache tag with this documented name."""
    for tag in CACHE_TAGS:
        if tag.name == name:
            return tag
    raise UnknownNameError("cache tag", name, [tag.name for tag in CACHE_TAGS])
