"""Write events.golden with TensorBoard's own writer: the events that tensorboard_test.go writes.

Run it with the interpreter of the interop tests (make interop sets it up).
"""
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

EVENTS = [
    Event(wall_time=1700000000.25, step=0, file_version="brain.Event:2"),
    Event(wall_time=1700000000.25, step=3, session_log=SessionLog(status=SessionLog.START)),
    Event(wall_time=1700000000.25, step=4, summary=Summary(value=[
        Summary.Value(tag="train/grad_norm", simple_value=0.25),
        Summary.Value(tag="train/loss", simple_value=1.5),
    ])),
]

with open(Path(__file__).parent / "events.golden", "wb") as f:
    writer = RecordWriter(f)
    for event in EVENTS:
        writer.write(event.SerializeToString())
    writer.flush()
