// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/internal/observe"
)

// taker is a manager: it keeps samples by their identity, and fails when told to.
type taker struct {
	fail  int
	taken map[string][]float64
	seen  map[string]bool
	told  int
}

func (k *taker) push(_ context.Context, source string, samples []observe.Sample) error {
	k.told++
	for _, s := range samples {
		packed, err := observe.Pack([]observe.Sample{s})
		if err != nil {
			return err
		}
		if id := source + string(packed); !k.seen[id] {
			k.seen[id] = true
			k.taken[s.Metric] = append(k.taken[s.Metric], s.Value)
		}
	}
	// What fails may have been taken all the same.
	if k.fail--; k.fail >= 0 {
		return errors.New("the connection was reset")
	}
	return nil
}

func newTaker() *taker { return &taker{taken: map[string][]float64{}, seen: map[string]bool{}} }

// collecting is a sidecar, as it is after each restart.
func collecting(t *testing.T, k *taker, dir string, format observe.Format) *Collect {
	t.Helper()
	now := noon
	c := &Collect{
		Path: filepath.Join(dir, "metrics"), Format: format, Metrics: []string{"loss"}, State: filepath.Join(dir, "state"),
		Now: func() time.Time {
			now = now.Add(time.Millisecond)
			return now
		},
		Push: k.push, Log: slog.New(slog.DiscardHandler),
	}
	c.events = observe.Events{Metrics: c.Metrics}
	if format != observe.FormatTensorBoard {
		parser, err := observe.New(format, c.Metrics, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.parser = parser
	}
	if err := c.state.load(c.State); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// Each push fails once after it was taken, and the sidecar is restarted after every look.
func TestCollectLosesAndDoublesNothing(t *testing.T) {
	dir, k := t.TempDir(), newTaker()
	look := func() {
		t.Helper()
		k.fail = 1
		for range 3 {
			_, _ = collecting(t, k, dir, observe.FormatText).look(t.Context())
		}
	}
	look()
	file := filepath.Join(dir, "metrics")
	write(t, file, "loss=3\nloss=2\nlo")
	look()
	write(t, file, "ss=1\n"+strings.Repeat("x", 2*maxLine)+"\nloss=nan")
	look()
	if diff := cmp.Diff([]float64{3, 2, 1}, k.taken["loss"]); diff != "" {
		t.Errorf("before its end (-want +got):\n%s", diff)
	}
	c := collecting(t, k, dir, observe.FormatText)
	looks := make(chan time.Time, 1)
	looks <- noon
	c.Looks, k.fail = looks, 1
	if err := c.last(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := k.taken["loss"]; len(got) != 4 || !math.IsNaN(got[3]) {
		t.Errorf("in the end %v were taken", got)
	}
	if err := os.WriteFile(file, []byte("loss=7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if got := k.taken["loss"]; len(got) != 5 || got[4] != 7 {
		t.Errorf("of a file that was begun anew %v", got)
	}
}

func TestCollectRuns(t *testing.T) {
	dir, k := t.TempDir(), newTaker()
	write(t, filepath.Join(dir, "metrics"), `{"loss": 1}`+"\n")
	c := collecting(t, k, dir, observe.FormatJSON)
	ctx, end := context.WithCancel(t.Context())
	looks := make(chan time.Time)
	c.Looks = looks
	done := make(chan error)
	go func() { done <- c.Run(ctx, time.Minute) }()
	looks <- noon
	looks <- noon
	write(t, c.Path, `{"loss": 2}`)
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{1, 2}, k.taken["loss"]); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	k.fail = 1000
	write(t, c.Path, `{"loss": 3}`)
	if err := c.last(t.Context(), 0); err == nil {
		t.Error("what could not be pushed is no error")
	}
	bad := &Collect{Format: observe.FormatText, Filters: []string{"("}}
	if err := bad.Run(t.Context(), 0); err == nil {
		t.Error("a filter that is none is no error")
	}
}

func TestWhatIsRefusedHoldsNothingUp(t *testing.T) {
	dir, k := t.TempDir(), newTaker()
	write(t, filepath.Join(dir, "metrics"), "loss=1\n")
	c := collecting(t, k, dir, observe.FormatText)
	c.Push = func(context.Context, string, []observe.Sample) error { return ErrRefused }
	if _, err := c.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Push = k.push
	write(t, c.Path, "loss=2\n")
	if _, err := c.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{2}, k.taken["loss"]); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

// scalar is an event with a simple value, framed.
func scalar(v float32) string {
	value := append([]byte{0x0a, 4}, "loss"...)
	value = binary.LittleEndian.AppendUint32(append(value, 0x15), math.Float32bits(v))
	summary := append([]byte{0x0a, byte(len(value))}, value...)
	event := binary.LittleEndian.AppendUint64([]byte{0x09}, math.Float64bits(1638422847))
	event = append(append(event, 0x2a, byte(len(summary))), summary...)
	mask := func(data []byte) uint32 {
		c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		return (c>>15 | c<<17) + 0xa282ead8
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	out = binary.LittleEndian.AppendUint32(out, mask(out))
	return string(binary.LittleEndian.AppendUint32(append(out, event...), mask(event)))
}

func TestCollectEvents(t *testing.T) {
	dir, k := t.TempDir(), newTaker()
	first := filepath.Join(dir, "metrics", "events.out.tfevents.1")
	second := filepath.Join(dir, "metrics", "train", "events.out.tfevents.2")
	look := func() {
		t.Helper()
		k.fail = 1
		for range 4 {
			_, _ = collecting(t, k, dir, observe.FormatTensorBoard).look(t.Context())
		}
	}
	look()
	half := scalar(2)
	write(t, first, scalar(1)+half[:20])
	write(t, filepath.Join(dir, "metrics", "notes"), "x")
	look()
	write(t, first, half[20:]+"broken, from here on")
	write(t, second, scalar(3))
	look()
	if diff := cmp.Diff([]float64{1, 2, 3}, k.taken["loss"]); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	told := k.told
	look()
	if k.told != told {
		t.Error("what was pushed is pushed again")
	}
}

func TestPush(t *testing.T) {
	var got []string
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = []string{r.Method, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get(observe.SourceHeader), string(body)}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error": "too many metrics"}`)
	}))
	defer server.Close()
	dir := t.TempDir()
	p := &Pusher{URL: server.URL, Token: filepath.Join(dir, "token"), CA: filepath.Join(dir, "ca")}
	samples := []observe.Sample{{Metric: "loss", Value: math.NaN(), At: noon, Seq: 1, Step: 2}}
	push := func() error { return p.Push(t.Context(), "/logs/a", samples) }
	if push() == nil {
		t.Error("it pushes without a token")
	}
	write(t, p.Token, "secret\n")
	if push() == nil {
		t.Error("it pushes without a CA")
	}
	write(t, p.CA, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if err := push(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"POST", "Bearer secret", observe.MediaType, "/logs/a", `[{"metric":"loss","value":"NaN","at":1767268800000000000,"seq":1,"step":2}]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the request (-want +got):\n%s", diff)
	}
	for answered, refused := range map[int]bool{http.StatusBadRequest: true, http.StatusServiceUnavailable: false, http.StatusForbidden: false} {
		status = answered
		err := push()
		if errors.Is(err, ErrRefused) != refused || !strings.Contains(err.Error(), "too many metrics") {
			t.Errorf("%d is %v", answered, err)
		}
	}
	if bytes.Contains([]byte(want[4]), []byte("NaN,")) {
		t.Error("the body is no JSON")
	}
}
