// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// touch gives a file a time.
func touch(t *testing.T, file string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestHeartbeatTellsOfTouches(t *testing.T) {
	file := filepath.Join(t.TempDir(), "beat")
	var tried []time.Time
	var refusal error
	h := &Heartbeat{File: file, Tell: func(_ context.Context, b Beat) error {
		tried = append(tried, b.At)
		return refusal
	}}
	var told time.Time
	look := func() {
		t.Helper()
		at, err := h.beat(t.Context(), told)
		if !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		told = at
	}
	look() // there is no file yet
	touch(t, file, noon)
	look()
	look() // nothing new
	touch(t, file, noon.Add(90*time.Second+time.Millisecond))
	look()
	touch(t, file, noon.Add(3*time.Minute))
	refusal = errors.New("the API server is away")
	look()
	refusal = nil
	look()
	want := []time.Time{noon, noon.Add(90 * time.Second), noon.Add(3 * time.Minute), noon.Add(3 * time.Minute)}
	if diff := cmp.Diff(want, tried); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestHeartbeatTellsWhatTheFileSays(t *testing.T) {
	for text, want := range map[string]Beat{
		"":       {At: noon},
		"step=7": {At: noon, Step: "7"},
		"loss=0.1 step=7 \ncheckpoint=2026-01-01T13:55:00+02:00\n": {At: noon, Step: "7", Checkpoint: "2026-01-01T11:55:00Z"},
		"step=-1 checkpoint=2026-0":                                {At: noon},
		"step":                                                     {At: noon},
	} {
		file := filepath.Join(t.TempDir(), "beat")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, noon, noon); err != nil {
			t.Fatal(err)
		}
		var got Beat
		h := &Heartbeat{File: file, Tell: func(_ context.Context, b Beat) error { got = b; return nil }}
		if _, err := h.beat(t.Context(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q tells (-want +got):\n%s", text, diff)
		}
	}
}

func TestHeartbeatGoesOnAfterErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "beat")
	touch(t, file, noon)
	looks, tries := make(chan time.Time), make(chan bool)
	h := &Heartbeat{File: file, Looks: looks, Log: slog.New(slog.DiscardHandler), Tell: func(context.Context, Beat) error {
		tries <- true
		return errors.New("the API server is away")
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	for range 2 {
		looks <- noon
		<-tries
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPodBeats(t *testing.T) {
	var got []string
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = []string{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `pods "digits-worker-0" is forbidden`)
	}))
	defer server.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string]string{"ca.crt": string(ca), "token": "secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pod := &Pod{Server: server.URL, Namespace: "team", Name: "digits-worker-0", Credentials: dir}
	if err := pod.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := pod.Beat(t.Context(), Beat{At: noon}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PATCH", "/api/v1/namespaces/team/pods/digits-worker-0", "Bearer secret", "application/merge-patch+json",
		`{"metadata":{"annotations":{"millrace.dev/heartbeat":"2026-01-01T12:00:00Z"}}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the request (-want +got):\n%s", diff)
	}
	if err := pod.Beat(t.Context(), Beat{At: noon, Step: "12", Checkpoint: "2026-01-01T11:55:00Z"}); err != nil {
		t.Fatal(err)
	}
	all := `{"metadata":{"annotations":{"millrace.dev/checkpoint":"2026-01-01T11:55:00Z","millrace.dev/heartbeat":"2026-01-01T12:00:00Z","millrace.dev/step":"12"}}}`
	if got[4] != all {
		t.Errorf("told %s, want %s", got[4], all)
	}
	status = http.StatusForbidden
	if err := pod.Beat(t.Context(), Beat{At: noon}); err == nil || !strings.Contains(err.Error(), "is forbidden") {
		t.Errorf("a refused beat says %v", err)
	}
	if err := (&Pod{Server: server.URL, Credentials: dir}).Connect(); err == nil {
		t.Error("a pod without a name connects")
	}
}
