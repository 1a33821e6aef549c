// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// header is how every event file of TensorFlow begins, as its writer makes it: the length, 24, and its checksum.
const header = "1800000000000000a37f4b22"

// record frames an event.
func record(event []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	out = binary.LittleEndian.AppendUint32(out, checksum(out))
	out = append(out, event...)
	return binary.LittleEndian.AppendUint32(out, checksum(event))
}

func event(wall float64, step int64, values ...[]byte) []byte {
	out := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(wall))
	out = protowire.AppendVarint(protowire.AppendTag(out, 2, protowire.VarintType), uint64(step))
	var summary []byte
	for _, v := range values {
		summary = protowire.AppendBytes(protowire.AppendTag(summary, 1, protowire.BytesType), v)
	}
	return protowire.AppendBytes(protowire.AppendTag(out, 5, protowire.BytesType), summary)
}

func tag(name string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
}

func simple(name string, v float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(tag(name), 2, protowire.Fixed32Type), math.Float32bits(v))
}

// tensorOf is a loss as TensorFlow 2 writes it.
func tensorOf(kind uint64, field protowire.Number, content []byte) []byte {
	t := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), kind)
	t = protowire.AppendBytes(protowire.AppendTag(t, 2, protowire.BytesType), nil)
	t = protowire.AppendBytes(protowire.AppendTag(t, field, protowire.BytesType), content)
	return protowire.AppendBytes(protowire.AppendTag(tag("loss"), 8, protowire.BytesType), t)
}

func TestRecord(t *testing.T) {
	version := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(1638422847))
	version = protowire.AppendString(protowire.AppendTag(version, 3, protowire.BytesType), "brain.Event:2")
	file := record(version)
	if got := hex.EncodeToString(file[:12]); got != header {
		t.Errorf("an event file begins with %s, want %s", got, header)
	}
	long := make([]byte, maxEvent+1)
	whole := append(append(bytes.Clone(file), record(long)...), record([]byte("x"))...)
	from := bytes.NewReader(whole)
	for i, want := range []string{string(version), "", "x"} {
		got, _, err := Record(from)
		if err != nil || string(got) != want || (got == nil) != (i == 1) {
			t.Fatalf("record %d is %q, %v", i, got, err)
		}
	}
	if _, _, err := Record(from); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
	for cut := range file {
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if _, _, err := Record(bytes.NewReader(file[:cut])); !errors.Is(err, want) {
			t.Errorf("%d bytes of a record: %v", cut, err)
		}
		broken := bytes.Clone(file)
		broken[cut] ^= 1
		if _, _, err := Record(bytes.NewReader(broken)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a broken byte %d: %v", cut, err)
		}
	}
}

func TestEvents(t *testing.T) {
	four := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	eight := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	want := func(metric string, v float64) []Sample {
		return []Sample{{Metric: metric, Value: v, At: time.Unix(1638422847, 250000000), Step: 12}}
	}
	for name, tc := range map[string]struct {
		value     []byte
		directory string
		want      []Sample
	}{
		"a simple value":            {simple("loss", 0.5), "", want("loss", 0.5)},
		"nan":                       {simple("loss", float32(math.NaN())), "", want("loss", math.NaN())},
		"a float":                   {tensorOf(1, 4, four(math.Float32bits(0.5))), "", want("loss", 0.5)},
		"a packed float":            {tensorOf(1, 5, four(math.Float32bits(0.5))), "", want("loss", 0.5)},
		"a double":                  {tensorOf(2, 4, eight(math.Float64bits(0.1))), "", want("loss", 0.1)},
		"a packed double":           {tensorOf(2, 6, eight(math.Float64bits(0.1))), "", want("loss", 0.1)},
		"an int32":                  {tensorOf(3, 7, protowire.AppendVarint(nil, uint64(math.MaxUint64))), "", want("loss", -1)},
		"an int64":                  {tensorOf(9, 4, eight(7)), "", want("loss", 7)},
		"a vector":                  {tensorOf(1, 4, append(four(1), four(2)...)), "", nil},
		"a string":                  {tensorOf(7, 8, []byte("x")), "", nil},
		"a directory":               {simple("accuracy", 1), "/logs/train", want("train/accuracy", 1)},
		"another directory":         {simple("accuracy", 1), "/logs/validation", nil},
		"a tag with a slash":        {simple("train/accuracy", 1), "/logs", want("train/accuracy", 1)},
		"a tag that was there":      {simple("loss_1", 1), "", want("loss", 1)},
		"a tag that is another":     {simple("loss_val", 1), "", nil},
		"a tag that ends otherwise": {simple("loss_", 1), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := Events{Metrics: []string{"loss", "train/accuracy"}}
			got, faults := e.Event(event(1638422847.25, 12, simple("x", 1), tc.value), tc.directory)
			if diff := cmp.Diff(tc.want, got, nans); diff != "" || len(faults) > 0 {
				t.Errorf("samples (-want +got):\n%s%v", diff, faults)
			}
		})
	}
	if _, faults := (Events{}).Event([]byte{0xff}, ""); len(faults) != 1 {
		t.Error("what is no event is no fault")
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(record(event(1, 2, simple("loss", 3))))
	f.Add(record(event(1e300, -2, tensorOf(3, 7, []byte{0x80}))))
	f.Fuzz(func(t *testing.T, file []byte) {
		e := Events{Metrics: []string{"loss"}}
		e.Event(file, "")
		for from := bytes.NewReader(file); ; {
			content, size, err := Record(from)
			if err != nil {
				return
			}
			if size < 16 {
				t.Fatalf("a record of %d bytes", size)
			}
			e.Event(content, "train")
		}
	})
}
