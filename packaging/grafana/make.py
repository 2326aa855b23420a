#!/usr/bin/env python3
"""Writes packaging/grafana/dunlin.json; run it after changing it. The dashboard is for Grafana 10 and later."""
import json
import os

PANELS = [
    ("Clients", "registered, and departed ones that are remembered", "short", [
        ("dunlin_clients", "{{state}}")]),
    ("Uplinks per second", "what Clients ask, answered well", "reqps", [
        ("sum by (kind) (rate(dunlin_uplinks_total[$__rate_interval]))", "{{kind}}"),
        ("sum by (reason) (rate(dunlin_uplinks_refused_total[$__rate_interval]))", "refused: {{reason}}")]),
    ("Notifications per second", "by what became of them", "reqps", [
        ("sum by (outcome) (rate(dunlin_notifications_total[$__rate_interval]))", "{{outcome}}")]),
    ("Requests to Clients", "per second by outcome, and how many wait or are under way", "short", [
        ("sum by (outcome) (rate(dunlin_downlinks_total[$__rate_interval]))", "{{outcome}} per second"),
        ("dunlin_requests_waiting", "waiting or under way")]),
    ("CPU per uplink", "microseconds of the whole process for one uplink or notification", "µs", [
        ("1e6 * rate(process_cpu_seconds_total[$__rate_interval]) / "
         "(sum without (kind) (rate(dunlin_uplinks_total[$__rate_interval])) + "
         "sum without (outcome) (rate(dunlin_notifications_total[$__rate_interval])))", "µs")]),
    ("CPU", "cores in use", "short", [
        ("rate(process_cpu_seconds_total[$__rate_interval])", "cores")]),
    ("Memory", "of the process", "bytes", [
        ("process_resident_memory_bytes", "resident")]),
    ("Bytes per Client", "resident memory over registered Clients", "bytes", [
        ("process_resident_memory_bytes / ignoring(state) dunlin_clients{state=\"registered\"}", "bytes")]),
    ("Commits", "batches, and the syncs that made them durable", "ops", [
        ("rate(dunlin_commits_total[$__rate_interval])", "batches"),
        ("rate(dunlin_syncs_total[$__rate_interval])", "syncs"),
        ("rate(dunlin_commit_failures_total[$__rate_interval])", "failed")]),
    ("Waiting for the disk", "a line that only rises means the disk is slower than the load", "short", [
        ("dunlin_pending", "datagrams and outcomes"),
        ("dunlin_commit_queue_bytes", "bytes for the committer")]),
    ("Datagrams per second", "", "pps", [
        ("rate(dunlin_datagrams_received_total[$__rate_interval])", "received"),
        ("rate(dunlin_datagrams_sent_total[$__rate_interval])", "sent"),
        ("rate(dunlin_datagrams_handed_over_total[$__rate_interval])", "handed to another shard")]),
    ("Lost and dropped", "datagrams lost here by reason, CoAP messages that led to nothing by cause", "pps", [
        ("rate(dunlin_datagrams_lost_total[$__rate_interval])", "{{reason}}"),
        ("rate(dunlin_coap_dropped_total[$__rate_interval])", "{{cause}}")]),
    ("Too much", "what each shard refuses for load: 1 new handshakes, 2 also new Clients, 3 also registered ones that "
     "register, 4 also those that waited, 5 also Updates; and how full what waits is", "short", [
        ("dunlin_load_level", "level, shard {{shard}}"),
        ("dunlin_load_pressure", "pressure, shard {{shard}}")]),
    ("Refused for load", "per second by kind, those who wait for their turn, and senders beyond their budget", "short", [
        ("rate(dunlin_load_shed_total[$__rate_interval])", "{{kind}} per second"),
        ("dunlin_clients_waiting", "wait for their turn"),
        ("dunlin_clients_over_budget", "over their budget")]),
    ("Commit latency", "from the hand-over of a batch until it is durable", "s", [
        ("histogram_quantile(0.5, sum by (le) (rate(dunlin_commit_seconds_bucket[$__rate_interval])))", "median"),
        ("histogram_quantile(0.99, sum by (le) (rate(dunlin_commit_seconds_bucket[$__rate_interval])))", "99 of 100")]),
    ("Presence", "registered Clients by presence and security", "short", [
        ("dunlin_clients_present", "{{presence}}, {{security}}")]),
    ("Event log", "bytes on disk; the retention is a setting", "bytes", [
        ("dunlin_log_bytes", "log")]),
    ("Observations", "", "short", [
        ("dunlin_observations", "observations")]),
]

SOURCE = {"type": "prometheus", "uid": "${source}"}


def targets(queries):
    return [{"datasource": SOURCE, "expr": query, "legendFormat": legend, "refId": chr(65 + at)}
            for at, (query, legend) in enumerate(queries)]


def health():
    query = "dunlin_store_healthy"
    mapping = {"type": "value", "options": {"1": {"text": "durable", "color": "green"},
                                            "0": {"text": "NOT TAKING COMMITS", "color": "red"}}}
    return {"id": 1, "type": "stat", "title": "Store", "datasource": SOURCE, "targets": targets([(query, "store")]),
            "gridPos": {"x": 0, "y": 0, "w": 6, "h": 4},
            "fieldConfig": {"defaults": {"mappings": [mapping], "color": {"mode": "thresholds"},
                                         "thresholds": {"mode": "absolute", "steps": [
                                             {"color": "red", "value": None}, {"color": "green", "value": 1}]}},
                            "overrides": []}}


def number(at, title, query, unit="short"):
    return {"id": 2 + at, "type": "stat", "title": title, "datasource": SOURCE, "targets": targets([(query, title)]),
            "gridPos": {"x": 6 + 6 * at, "y": 0, "w": 6, "h": 4},
            "fieldConfig": {"defaults": {"unit": unit, "color": {"mode": "fixed", "fixedColor": "blue"}}, "overrides": []}}


def chart(at, title, words, unit, queries):
    return {"id": 10 + at, "type": "timeseries", "title": title, "description": words, "datasource": SOURCE,
            "targets": targets(queries), "gridPos": {"x": 12 * (at % 2), "y": 4 + 8 * (at // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 8}},
                            "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}}


def main():
    panels = [health(),
              number(0, "Registered Clients", "dunlin_clients{state=\"registered\"}"),
              number(1, "Shards that answer", "dunlin_shards_answering"),
              number(2, "Requests waiting", "dunlin_requests_waiting")]
    panels += [chart(at, *panel) for at, panel in enumerate(PANELS)]
    dashboard = {
        "title": "dunlin", "uid": "dunlin", "tags": ["lwm2m"], "timezone": "browser", "editable": True,
        "schemaVersion": 39, "version": 1, "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dunlin.json")
    with open(place, "w", encoding="utf-8") as out:
        json.dump(dashboard, out, indent=1, ensure_ascii=False)
        out.write("\n")


main()
