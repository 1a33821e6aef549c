// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// serveLogs is the environment variable by which the test binary is a cluster and nothing else: what that costs must not count.
const serveLogs = "MILLRACE_TEST_SERVE_LOGS"

func TestMain(m *testing.M) {
	if os.Getenv(serveLogs) == "" {
		os.Exit(m.Run())
	}
	server := httptest.NewServer(http.HandlerFunc(speak))
	fmt.Println(server.URL)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the benchmark has ended
}

// speak writes ten lines a second, of which each has two metrics.
func speak(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for step := 0; ; step++ {
		select {
		case <-r.Context().Done():
			return
		case at := <-ticker.C:
			_, _ = fmt.Fprintf(w, "%s epoch 3 step %d loss=%g accuracy=%g lr=0.01\n", at.Format(time.RFC3339Nano), step, 1/float64(step+1), 0.5)
			w.(http.Flusher).Flush()
		}
	}
}

// BenchmarkFollow follows 100 logs of 10 lines a second, 2,000 values a second, for as many seconds as the benchmark has iterations,
// into SQLite, and prints what the process needs. Give it -benchtime 30x.
func BenchmarkFollow(b *testing.B) {
	const logs = 100
	c := exec.CommandContext(b.Context(), os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), serveLogs+"=yes"), os.Stderr
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err1 != nil || err2 != nil || c.Start() != nil {
		b.Fatal("the cluster does not start", err1, err2)
	}
	defer in.Close()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	s := database(b)
	collector, _ := run(b, s, &cluster{url: strings.TrimSpace(url)}, DefaultOptions())
	runtime.GC()
	idle := rss(b)
	for i := range logs {
		key := store.Trial{Namespace: "team", Name: fmt.Sprintf("t-%d", i), UID: fmt.Sprint(i)}
		collector.Want(key, Target{
			Kind: Log, Pod: key.Name, PodUID: key.Name, Container: "main", Format: observe.FormatText, Metrics: []string{"loss", "accuracy"},
		})
	}
	last := store.Trial{Namespace: "team", Name: "t-99", UID: "99"}
	eventually(b, "the last log", func() bool { return collector.Snapshot(last).Curves["loss"].Count > 0 })
	values := func() int64 { return collector.Snapshot(last).Curves["loss"].Count }
	began, used, before := time.Now(), cpu(b), values()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	took := time.Since(began).Seconds()
	runtime.GC()
	b.ReportMetric(100*(cpu(b)-used).Seconds()/took, "%cpu")
	b.ReportMetric(rss(b), "MiB-rss")
	b.ReportMetric(rss(b)-idle, "MiB-more")
	b.ReportMetric(float64(values()-before)/took, "values/s-of-each")
	b.ReportMetric(0, "ns/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
