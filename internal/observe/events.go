// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxEvent is the longest event that is read: scalars are short. Longer ones, which are images, are passed over.
const maxEvent = 1 << 20

// ErrCorrupt is the error of an event file whose checksums do not match.
var ErrCorrupt = errors.New("the event file is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC of a TFRecord: rotated, so that a CRC over data with CRCs in it stays strong.
func checksum(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Record reads the next TFRecord: its content, which is nil for one that is too long to be a scalar, and how many bytes it took. A
// record that is not written to its end yet is io.ErrUnexpectedEOF, the end of the file io.EOF; one whose checksum is wrong ErrCorrupt.
func Record(from io.Reader) ([]byte, int64, error) {
	var head [12]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, 0, err
	}
	size := binary.LittleEndian.Uint64(head[:8])
	if checksum(head[:8]) != binary.LittleEndian.Uint32(head[8:]) || size > math.MaxInt32 {
		return nil, 0, fmt.Errorf("%w: the length of a record does not match its checksum", ErrCorrupt)
	}
	whole := int64(size) + 16
	if size > maxEvent {
		if n, err := io.CopyN(io.Discard, from, int64(size)+4); err != nil {
			return nil, n, unfinished(err)
		}
		return nil, whole, nil
	}
	body := make([]byte, size+4)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, 0, unfinished(err)
	}
	if checksum(body[:size]) != binary.LittleEndian.Uint32(body[size:]) {
		return nil, 0, fmt.Errorf("%w: the content of a record does not match its checksum", ErrCorrupt)
	}
	return body[:size], whole, nil
}

func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Events reads the scalars of TensorBoard events.
type Events struct{ Metrics []string }

// Event reads the samples of one event of a file below the directory.
func (e Events) Event(event []byte, directory string) ([]Sample, []Fault) {
	at, step, values := time.Time{}, int64(0), [][]byte(nil)
	ok := each(event, func(n protowire.Number, t protowire.Type, v uint64, b []byte) {
		switch {
		case n == 1 && t == protowire.Fixed64Type:
			at, _ = plain(fmt.Sprint(math.Float64frombits(v)))
		case n == 2 && t == protowire.VarintType:
			step = int64(v)
		case n == 5 && t == protowire.BytesType:
			values = append(values, b)
		}
	})
	var samples []Sample
	for _, summary := range values {
		ok = ok && each(summary, func(n protowire.Number, _ protowire.Type, _ uint64, b []byte) {
			if n != 1 {
				return
			}
			for _, s := range e.value(b, directory) {
				s.At, s.Step = at, max(step, NoStep)
				samples = append(samples, s)
			}
		})
	}
	if !ok {
		return samples, []Fault{"an event of TensorBoard could not be decoded"}
	}
	return samples, nil
}

// value reads a Summary.Value: its tag, and a plain value or a tensor of one number.
func (e Events) value(message []byte, directory string) []Sample {
	tag, value, found := "", 0.0, false
	each(message, func(n protowire.Number, t protowire.Type, v uint64, b []byte) {
		switch {
		case n == 1 && t == protowire.BytesType:
			tag = string(b)
		case n == 2 && t == protowire.Fixed32Type:
			value, found = float64(math.Float32frombits(uint32(v))), true
		case n == 8 && t == protowire.BytesType:
			value, found = tensor(b)
		}
	})
	if !found {
		return nil
	}
	var samples []Sample
	for _, m := range e.Metrics {
		if tagged(m, tag, directory) {
			samples = append(samples, Sample{Metric: m, Value: value})
		}
	}
	return samples
}

// tagged says whether a tag in a file below a directory is a metric: the tag itself, or directory/tag for a file in that directory, as
// trainings write train/ and validation/ apart. The number that TensorFlow adds to a tag it has seen before does not count.
func tagged(metric, tag, directory string) bool {
	if same(metric, tag) {
		return true
	}
	parent, last := path.Split(metric)
	parent = strings.TrimSuffix(parent, "/")
	return parent != "" && same(last, tag) && (directory == parent || strings.HasSuffix(directory, "/"+parent))
}

func same(metric, tag string) bool {
	numbered, ok := strings.CutPrefix(tag, metric+"_")
	return tag == metric || ok && numbered != "" && strings.Trim(numbered, "0123456789") == ""
}

// element is how the number of a tensor is written: the field of its values, and how raw content and a field's value are read.
type element struct {
	field  protowire.Number
	size   int
	number func(uint64) float64
}

// elements are by the data type of TensorFlow.
var elements = map[uint64]element{
	1: {5, 4, func(v uint64) float64 { return float64(math.Float32frombits(uint32(v))) }},
	2: {6, 8, math.Float64frombits},
	3: {7, 4, func(v uint64) float64 { return float64(int32(v)) }},
	9: {10, 8, func(v uint64) float64 { return float64(int64(v)) }},
}

// tensor is the number of a tensor of one element: float, double, int32 or int64.
func tensor(message []byte) (float64, bool) {
	kind, content := uint64(0), []byte(nil)
	fields := map[protowire.Number][]uint64{}
	ok := each(message, func(n protowire.Number, t protowire.Type, v uint64, b []byte) {
		switch {
		case n == 1 && t == protowire.VarintType:
			kind = v
		case n == 4 && t == protowire.BytesType:
			content = b
		case t == protowire.BytesType:
			fields[n] = append(fields[n], packed(n, b)...)
		default:
			fields[n] = append(fields[n], v)
		}
	})
	e, known := elements[kind]
	switch {
	case !ok || !known:
		return 0, false
	case len(content) == e.size:
		return e.number(little(content)), true
	case len(fields[e.field]) == 1:
		return e.number(fields[e.field][0]), true
	}
	return 0, false
}

// little reads an integer, of four bytes or eight.
func little(b []byte) uint64 {
	var whole [8]byte
	copy(whole[:], b)
	return binary.LittleEndian.Uint64(whole[:])
}

// packed are the elements of a repeated field, as its data type writes them.
func packed(field protowire.Number, b []byte) []uint64 {
	var all []uint64
	fixed := slices.Contains([]protowire.Number{elements[1].field, elements[2].field}, field)
	for len(b) > 0 && len(all) < 2 {
		if !fixed {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return all
			}
			all, b = append(all, v), b[n:]
			continue
		}
		size := min(len(b), map[protowire.Number]int{elements[1].field: 4, elements[2].field: 8}[field])
		all, b = append(all, little(b[:size])), b[size:]
	}
	return all
}

// each calls f with the fields of a message: an integer, of whatever size, or bytes. False when the message is broken.
func each(message []byte, f func(n protowire.Number, t protowire.Type, v uint64, b []byte)) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		var v uint64
		var v32 uint32
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			v32, n = protowire.ConsumeFixed32(message)
			v = uint64(v32)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return false
		}
		message = message[n:]
		f(number, kind, v, b)
	}
	return true
}
