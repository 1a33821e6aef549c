// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// cluster is the log endpoint of an API server, as the kubelet serves it: whole seconds in sinceTime, streams that end with the
// container or in the middle of anything.
type cluster struct {
	url string

	mu       sync.Mutex
	logs     map[string]*podLog
	requests int
	// most is how many streams were open at once.
	open, most int
	changed    chan struct{}
}

type podLog struct {
	lines    []logLine
	previous []logLine
	ended    bool
}

type logLine struct {
	at   time.Time
	text string
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newCluster(t testing.TB) *cluster {
	c := &cluster{logs: map[string]*podLog{}, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{pod}/log", c.serve)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c.url = server.URL
	return c
}

func (c *cluster) client(t testing.TB) corev1.PodsGetter {
	t.Helper()
	pods, err := corev1.NewForConfig(&rest.Config{Host: c.url, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

// change edits the logs, and lets streams go on.
func (c *cluster) change(f func(map[string]*podLog)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.logs)
	close(c.changed)
	c.changed = make(chan struct{})
}

// say writes a line, so many nanoseconds after noon.
func (c *cluster) say(pod string, after time.Duration, format string, args ...any) {
	c.change(func(logs map[string]*podLog) {
		if logs[pod] == nil {
			logs[pod] = &podLog{}
		}
		logs[pod].lines = append(logs[pod].lines, logLine{noon.Add(after), fmt.Sprintf(format, args...)})
	})
}

func (c *cluster) enter(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += delta
	c.most = max(c.most, c.open)
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	q, pod := r.URL.Query(), r.PathValue("pod")
	since := time.Time{}
	if text := q.Get("sinceTime"); text != "" {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil || parsed.Nanosecond() != 0 {
			http.Error(w, "sinceTime", http.StatusBadRequest)
			return
		}
		since = parsed
	}
	c.enter(1)
	defer c.enter(-1)
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	c.stream(w, r, pod, since)
}

func (c *cluster) stream(w http.ResponseWriter, r *http.Request, pod string, since time.Time) {
	q := r.URL.Query()
	c.mu.Lock()
	first := c.logs[pod]
	c.mu.Unlock()
	for sent := 0; ; {
		c.mu.Lock()
		l, changed := c.logs[pod], c.changed
		if l != first {
			c.mu.Unlock()
			return // the container was restarted
		}
		if l == nil {
			c.mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		}
		lines, over := l.lines, l.ended || q.Get("follow") != "true"
		if q.Get("previous") == "true" {
			lines, over = l.previous, true
		}
		lines = lines[min(sent, len(lines)):]
		c.mu.Unlock()
		for _, line := range lines {
			sent++
			text := line.at.Format(time.RFC3339Nano) + " " + line.text + "\n"
			if strings.Contains(line.text, "CUT") {
				_, _ = io.WriteString(w, text[:len(text)/2])
				w.(http.Flusher).Flush()
				c.uncut(pod)
				panic(http.ErrAbortHandler)
			}
			if !line.at.Before(since) {
				_, _ = io.WriteString(w, text)
			}
		}
		w.(http.Flusher).Flush()
		if over {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// uncut lets a line be read to its end the next time.
func (c *cluster) uncut(pod string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.logs[pod].lines {
		line := &c.logs[pod].lines[i]
		line.text = strings.Replace(line.text, "CUT ", "", 1)
	}
}
