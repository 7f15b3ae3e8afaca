//go:build !lite

package train

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// eventWriter appends scalars to a TensorBoard event file: TFRecords (tensorflow/core/lib/io/record_writer.h) of
// tensorflow.Event messages (tensorflow/core/util/event.proto).
type eventWriter struct {
	file *os.File
	now  func() time.Time
}

// Fields of event.proto and summary.proto.
const (
	eventWallTime    = 1 // double
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5
	eventSessionLog  = 7
	summaryValue     = 1
	valueTag         = 1
	valueSimple      = 2 // float
	sessionStatus    = 1
	sessionStart     = 1 // SessionLog.START
)

// newEventWriter begins a file in dir, for events from step on. A run that goes on from a checkpoint begins one of its
// own, whose session start makes TensorBoard forget what older files have from that step on.
func newEventWriter(dir string, step int, now func() time.Time) (*eventWriter, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("write TensorBoard events: %w", err)
	}
	// TensorBoard reads the files of a folder in the order of their names.
	t := now()
	name := fmt.Sprintf("events.out.tfevents.%010d.graft.%d.%d", t.Unix(), os.Getpid(), t.Nanosecond())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("write TensorBoard events: %w", err)
	}
	w := &eventWriter{file: f, now: now}
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	version = protowire.AppendString(version, "brain.Event:2")
	if err := w.write(0, version); err != nil {
		return nil, err
	}
	status := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
	return w, w.write(step, appendMessage(nil, eventSessionLog, status))
}

// scalars writes one event with these values, in the order of their names.
func (w *eventWriter) scalars(step int, values map[string]float64) error {
	var summary []byte
	for _, tag := range slices.Sorted(maps.Keys(values)) {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(values[tag])))
		summary = appendMessage(summary, summaryValue, value)
	}
	return w.write(step, appendMessage(nil, eventSummary, summary))
}

// write appends an event: its time and step, and the encoded rest.
func (w *eventWriter) write(step int, rest []byte) error {
	event := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	event = protowire.AppendFixed64(event, math.Float64bits(float64(w.now().UnixMicro())/1e6))
	if step != 0 {
		event = protowire.AppendTag(event, eventStep, protowire.VarintType)
		event = protowire.AppendVarint(event, uint64(step))
	}
	if _, err := w.file.Write(appendRecord(nil, append(event, rest...))); err != nil {
		return fmt.Errorf("write TensorBoard events: %w", err)
	}
	return nil
}

// Close closes the file.
func (w *eventWriter) Close() error { return w.file.Close() }

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), message)
}

// appendRecord frames data as a TFRecord: length, its checksum, data, its checksum.
func appendRecord(b, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = append(b, length...)
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(length))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the CRC-32C that TFRecords store: rotated and shifted, so that a checksum of data that holds checksums
// stays a good one (tensorflow/core/lib/hash/crc32c.h).
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
