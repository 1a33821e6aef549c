// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that the bench runs: the manager, or a scheduler.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	once sync.Once
}

// startManager builds the manager of this checkout and runs it with its defaults, but for the ports and further settings.
func startManager(t *testing.T, dir string, kubeconfig []byte, settings string) *process {
	t.Helper()
	program := filepath.Join(dir, "manager")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/manager").CombinedOutput(); err != nil {
		t.Fatalf("building the manager: %v\n%s", err, said)
	}
	write(t, filepath.Join(dir, "kubeconfig"), string(kubeconfig))
	write(t, filepath.Join(dir, "config.yaml"), fmt.Sprintf(
		`{leaderElection: {enabled: false}, metrics: {bindAddress: ""}, health: {bindAddress: ""}, server: {bindAddress: ""}, store: {dsn: "sqlite:%s"}, %s}`,
		filepath.Join(dir, "metrics.db"), settings))
	cmd := exec.Command(program, "--config", filepath.Join(dir, "config.yaml"))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"), "GOMEMLIMIT=460MiB", "GOGC=50")
	return run(t, cmd, filepath.Join(dir, "manager.log"))
}

// run starts a program, and shows its log when the test has failed.
func run(t *testing.T, cmd *exec.Cmd, logFile string) *process {
	t.Helper()
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if said, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s:\n%s", filepath.Base(log.Name()), said)
		}
		log.Close()
	})
	return p
}

// stop ends the program. It may have ended by itself, which the log tells.
func (p *process) stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	})
}

// pause and resume hold the program back.
func (p *process) pause()  { p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// rss is the memory the manager has in use, in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	fields := strings.Fields(p.proc("statm"))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// cpu is the processor time the program has taken.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	return taken(p.t, p.proc("stat"))
}

// taken is the processor time of a /proc/PID/stat.
func taken(t *testing.T, stat string) time.Duration {
	t.Helper()
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')'):])
	var ticks int64
	for _, field := range fields[12:14] { // user and system
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// childCPU is the processor time of the program of a name that this test has started itself or by envtest.
func childCPU(t *testing.T, name string) time.Duration {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		named := strings.Contains(string(stat), "("+name+")")
		if fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); named && fields[1] == strconv.Itoa(os.Getpid()) {
			sum += taken(t, string(stat))
		}
	}
	return sum
}

// ownCPU is the processor time of the bench itself, which is the plain client.
func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	return taken(t, string(stat))
}

func (p *process) proc(file string) string {
	p.t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}
