"""A file for every preset, as its source writes it, and the rows that it has."""

from __future__ import annotations

import gzip
import json
from typing import Any

START = 1704067200  # 2024-01-01T00:00:00Z
US = START * 1_000_000
AT = "2024-01-01T00:00:00Z"


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def cloudwatch(stream: str, *messages: str) -> str:
    events = [{"id": f"{n}", "timestamp": START * 1000 + n, "message": m} for n, m in enumerate(messages)]
    group = {"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "g", "logStream": stream}
    return json.dumps({**group, "subscriptionFilters": ["f"], "logEvents": events})


FILES: dict[str, tuple[str | bytes, list[dict[str, Any]]]] = {
    "azure-iot": (
        lines(
            {
                "EnqueuedTimeUtc": "2024-01-01T00:00:00.1230000Z",
                "Properties": {"p": "1"},
                "SystemProperties": {"connectionDeviceId": "dev1", "enqueuedTime": AT},
                "Body": {"temperature": 21.5},
            },
        ),
        [
            {
                "k": "dev1",
                "t": US + 123_000,
                "Properties.p": "1",
                "SystemProperties.enqueuedTime": AT,
                "Body.temperature": 21.5,
            }
        ],
    ),
    "clf": (
        '10.0.0.1 - - [01/Jan/2024:01:00:00 +0100] "GET / HTTP/1.1" 200 512\n',
        [
            {
                "k": "10.0.0.1",
                "t": US,
                "request": "GET / HTTP/1.1",
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "status": 200,
                "bytes": 512,
            }
        ],
    ),
    "cloudfront": (
        "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs(User-Agent)\n"
        "2024-01-01\t00:00:00\tFRA50-P1\t100\t10.0.0.1\tMozilla/5.0%20(X11)\n",
        [
            {
                "k": "10.0.0.1",
                "t": US,
                "x-edge-location": "FRA50-P1",
                "sc-bytes": 100,
                "cs(User-Agent)": "Mozilla/5.0%20(X11)",
            }
        ],
    ),
    "cloudtrail": (
        gzip.compress(
            json.dumps(
                {
                    "Records": [
                        {
                            "eventVersion": "1.08",
                            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/a"},
                            "eventTime": AT,
                            "eventSource": "s3.amazonaws.com",
                            "requestParameters": {"bucketName": "b"},
                            "resources": [{"type": "x"}],
                        },
                        {
                            "eventVersion": "1.08",
                            "userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"},
                            "eventTime": AT,
                            "eventSource": "sts.amazonaws.com",
                        },
                    ]
                }
            ).encode()
        ),
        [
            {
                "k": "arn:aws:iam::1:user/a",
                "t": US,
                "eventVersion": "1.08",
                "userIdentity.type": "IAMUser",
                "userIdentity.arn": "arn:aws:iam::1:user/a",
                "eventSource": "s3.amazonaws.com",
                "requestParameters.bucketName": "b",
                "resources": '[{"type":"x"}]',
            },
            {
                "k": "ec2.amazonaws.com",
                "t": US,
                "eventVersion": "1.08",
                "userIdentity.type": "AWSService",
                "userIdentity.invokedBy": "ec2.amazonaws.com",
                "eventSource": "sts.amazonaws.com",
            },
        ],
    ),
    "cloudwatch-logs": (
        cloudwatch("s1", "a", "b") + cloudwatch("s2", "c"),
        [
            {
                "k": s,
                "t": US + n * 1000,
                "id": f"{n}",
                "message": m,
                "messageType": "DATA_MESSAGE",
                "owner": "123456789012",
                "logGroup": "g",
                "subscriptionFilters": '["f"]',
            }
            for s, n, m in (("s1", 0, "a"), ("s1", 1, "b"), ("s2", 0, "c"))
        ],
    ),
    "combined": (
        '::1 - bob [31/Dec/2023:16:00:00 -0800] "POST /x HTTP/2.0" 201 - "-" "curl/8.0"\n',
        [
            {
                "k": "::1",
                "t": US,
                "user": "bob",
                "request": "POST /x HTTP/2.0",
                "method": "POST",
                "path": "/x",
                "protocol": "HTTP/2.0",
                "status": 201,
                "agent": "curl/8.0",
            }
        ],
    ),
    "eventbridge": (
        lines(
            {
                "version": "0",
                "id": "6a7e8feb",
                "detail-type": "EC2 Instance State-change Notification",
                "source": "aws.ec2",
                "account": "111122223333",
                "time": AT,
                "region": "eu-west-1",
                "resources": ["arn"],
                "detail": {"state": "running"},
            }
        ),
        [
            {
                "k": "aws.ec2",
                "t": US,
                "version": "0",
                "id": "6a7e8feb",
                "detail-type": "EC2 Instance State-change Notification",
                "account": "111122223333",
                "region": "eu-west-1",
                "resources": '["arn"]',
                "detail.state": "running",
            }
        ],
    ),
    "gbfs": (
        json.dumps(
            {
                "last_updated": START,
                "ttl": 60,
                "version": "2.3",
                "data": {
                    "stations": [
                        {"station_id": "1", "num_bikes_available": 3, "is_renting": True, "last_reported": START}
                    ]
                },
            }
        ),
        [
            {
                "k": "1",
                "t": US,
                "num_bikes_available": 3,
                "is_renting": True,
                "last_updated": START,
                "ttl": 60,
                "version": "2.3",
            }
        ],
    ),
    "geojson": (
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "id": "q1",
                        "properties": {"mag": 4.5, "time": AT},
                        "geometry": {"type": "Point", "coordinates": [8.5, 47.5, 10]},
                    }
                ],
            }
        ),
        [{"k": "q1", "t": US, "properties.mag": 4.5, "geometry.type": "Point", "lon": 8.5, "lat": 47.5, "alt": 10}],
    ),
    "github": (
        lines(
            {
                "id": "22249084947",
                "type": "PushEvent",
                "actor": {"id": 1, "login": "octocat"},
                "repo": {"id": 3, "name": "octocat/Hello"},
                "payload": {"size": 1, "commits": [{"sha": "7a8f"}]},
                "public": True,
                "created_at": AT,
            }
        ),
        [
            {
                "k": "octocat/Hello",
                "t": US,
                "id": "22249084947",
                "type": "PushEvent",
                "actor.id": 1,
                "actor.login": "octocat",
                "repo.id": 3,
                "payload.size": 1,
                "payload.commits": '[{"sha":"7a8f"}]',
                "public": True,
            }
        ],
    ),
    "home-assistant": (
        json.dumps(
            [
                [
                    {
                        "entity_id": "sensor.t",
                        "state": "-3.9",
                        "attributes": {"unit": "C"},
                        "last_changed": AT,
                        "last_updated": AT,
                    },
                    {"state": "-2", "last_changed": "2024-01-01T00:00:01+00:00"},
                ]
            ]
        ),
        [
            {"k": "sensor.t", "t": US, "state": -3.9, "attributes.unit": "C", "last_updated": AT},
            {"k": "sensor.t", "t": US + 1_000_000, "state": -2.0},
        ],
    ),
    "influx-csv": (
        "#group,false,false,false,false,true,true,true\n"
        "#datatype,string,long,dateTime:RFC3339,double,string,string,string\n#default,_result,,,,,,\n"
        f",result,table,_time,_value,_field,_measurement,host\n,,0,{AT},1.5,usage,cpu,a\n\n",
        [
            {
                "k": "cpu,host=a",
                "t": US,
                "result": "_result",
                "table": 0,
                "_value": 1.5,
                "_field": "usage",
                "_measurement": "cpu",
                "host": "a",
            }
        ],
    ),
    "journald": (
        lines({"__REALTIME_TIMESTAMP": f"{US}", "_HOSTNAME": "web1", "PRIORITY": "6", "MESSAGE": "hello", "_PID": "1"}),
        [{"k": "web1", "t": US, "PRIORITY": "6", "MESSAGE": "hello", "_PID": "1"}],
    ),
    "kubernetes": (
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [
                    {
                        "kind": "Event",
                        "reason": "BackOff",
                        "count": 3,
                        "lastTimestamp": AT,
                        "involvedObject": {"kind": "Pod", "name": "pod-a"},
                    },
                    {
                        "kind": "Event",
                        "reason": "Pulled",
                        "eventTime": AT,
                        "regarding": {"kind": "Pod", "name": "pod-b"},
                    },
                ],
            },
            indent=4,
        ),
        [
            {
                "k": "pod-a",
                "t": US,
                "apiVersion": "v1",
                "kind": "Event",
                "reason": "BackOff",
                "count": 3,
                "lastTimestamp": AT,
                "involvedObject.kind": "Pod",
                "involvedObject.name": "pod-a",
            },
            {
                "k": "pod-b",
                "t": US,
                "apiVersion": "v1",
                "kind": "Event",
                "reason": "Pulled",
                "eventTime": AT,
                "regarding.kind": "Pod",
                "regarding.name": "pod-b",
            },
        ],
    ),
    "line-protocol": (
        f"cpu,host=a usage=0.5,n=3i {START}000000000\n",
        [{"k": "cpu,host=a", "t": US, "measurement": "cpu", "host": "a", "usage": 0.5, "n": 3}],
    ),
    "logfmt": (
        f'time={AT} host=a level=info msg="all good" n=1\n',
        [{"k": "a", "t": US, "level": "info", "msg": "all good", "n": 1}],
    ),
    "mixpanel": (
        lines({"event": "Plan", "properties": {"time": START, "distinct_id": "u1", "$city": "Berlin"}}),
        [{"k": "u1", "t": US, "event": "Plan", "properties.$city": "Berlin"}],
    ),
    "open-meteo": (
        json.dumps(
            {
                "latitude": 52.5,
                "longitude": 13.4,
                "utc_offset_seconds": 3600,
                "hourly_units": {"temperature_2m": "C"},
                "hourly": {"time": ["2024-01-01T01:00"], "temperature_2m": [1.5]},
            }
        ),
        [
            {
                "k": "52.5/13.4",
                "t": US,
                "latitude": 52.5,
                "longitude": 13.4,
                "utc_offset_seconds": 3600,
                "hourly_units.temperature_2m": "C",
                "temperature_2m": 1.5,
            }
        ],
    ),
    "otlp": (
        lines(
            {
                "resourceMetrics": [
                    {
                        "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": "h1"}}]},
                        "scopeMetrics": [
                            {
                                "scope": {"name": "m"},
                                "metrics": [
                                    {
                                        "name": "temp",
                                        "gauge": {
                                            "dataPoints": [{"timeUnixNano": f"{START}000000000", "asDouble": 1.5}]
                                        },
                                    }
                                ],
                            }
                        ],
                    }
                ]
            }
        ),
        [
            {
                "k": "h1",
                "t": US,
                "resource.host.name": "h1",
                "scope.name": "m",
                "name": "temp",
                "kind": "gauge",
                "value": 1.5,
            }
        ],
    ),
    "prometheus": (
        json.dumps(
            {
                "status": "success",
                "data": {
                    "resultType": "matrix",
                    "result": [
                        {"metric": {"__name__": "up", "job": "node"}, "values": [[START, "1"], [START + 0.5, "0"]]}
                    ],
                },
            }
        ),
        [
            {
                "k": 'up{job="node"}',
                "t": US + d,
                "status": "success",
                "data.resultType": "matrix",
                "metric.__name__": "up",
                "metric.job": "node",
                "value": v,
            }
            for d, v in ((0, 1.0), (500_000, 0.0))
        ],
    ),
    "segment": (
        lines(
            {"userId": None, "anonymousId": "x1", "timestamp": AT, "event": "a"},
            {"userId": "u1", "anonymousId": "x1", "timestamp": AT, "event": "b"},
        ),
        [
            {"k": "u1", "t": US, "userId": "u1", "anonymousId": "x1", "event": "b"},
            {"k": "x1", "t": US, "anonymousId": "x1", "event": "a"},
        ],
    ),
    "sns": (
        lines(
            {
                "Type": "Notification",
                "MessageId": "1",
                "TopicArn": "arn:x",
                "Message": '{"device":"a","t":21.5}',
                "Timestamp": AT,
            },
            {"Type": "Notification", "MessageId": "2", "TopicArn": "arn:x", "Message": "plain text", "Timestamp": AT},
        ),
        [
            {"k": "arn:x", "t": US, "Type": "Notification", "MessageId": "1", "Message.device": "a", "Message.t": 21.5},
            {"k": "arn:x", "t": US, "Type": "Notification", "MessageId": "2", "Message": "plain text"},
        ],
    ),
    "thingsboard": (
        json.dumps(
            {"temperature": [{"ts": START * 1000, "value": "21.5"}], "on": [{"ts": START * 1000, "value": "true"}]}
        ),
        [{"k": "sensor-7", "t": US, "temperature": 21.5, "on": True}],
    ),
    "vpc-flow": (
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
        "log-status\n"
        f"2 123456789010 eni-1 10.0.0.1 10.0.0.2 443 49152 6 20 4249 {START} {START + 50} ACCEPT OK\n"
        f"2 123456789010 eni-2 - - - - - - - {START} {START + 50} - NODATA\n",
        [
            {
                "k": "eni-1",
                "t": US,
                "version": 2,
                "account-id": 123456789010,
                "srcaddr": "10.0.0.1",
                "dstaddr": "10.0.0.2",
                "srcport": 443,
                "dstport": 49152,
                "protocol": 6,
                "packets": 20,
                "bytes": 4249,
                "end": START + 50,
                "action": "ACCEPT",
                "log-status": "OK",
            },
            {
                "k": "eni-2",
                "t": US,
                "version": 2,
                "account-id": 123456789010,
                "end": START + 50,
                "log-status": "NODATA",
            },
        ],
    ),
    "w3c": (
        "#Version: 1.0\n#Date: 2024-01-01 00:00:00\n#Fields: time c-ip cs-method cs-uri-stem sc-status\n"
        "00:00:00 10.0.0.1 GET /index.html 200\n",
        [{"k": "10.0.0.1", "t": US, "cs-method": "GET", "cs-uri-stem": "/index.html", "sc-status": 200}],
    ),
}
