// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process runs programs that outlive the one that starts them, and finds them again. A record
// per program says which process it is, in a way that a recycled process id cannot forge.
package process

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Spec is a program to run.
type Spec struct {
	Name   string
	Path   string
	Args   []string
	Env    []string // added to the environment
	Inputs []string // texts the program reads once, at its start: a change calls for a restart
}

// fingerprint changes when a running process no longer is what the Spec asks for.
func (s Spec) fingerprint() string {
	sum := sha256.New()
	for _, part := range [][]string{{s.Path}, s.Args, s.Env, s.Inputs} {
		fmt.Fprintf(sum, "%q\n", part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Record is what is remembered of a started process.
type Record struct {
	PID         int    `json:"pid"`
	Started     string `json:"started"` // boot and clock ticks since boot: unique for a process id
	Fingerprint string `json:"fingerprint"`
}

// Supervisor starts and stops processes and keeps their records and logs. It is not a process itself.
type Supervisor struct {
	Records string // directory
	Logs    string // directory
}

// Log is the file a program's output goes to.
func (s Supervisor) Log(name string) string { return filepath.Join(s.Logs, name+".log") }

func (s Supervisor) record(name string) string { return filepath.Join(s.Records, name+".json") }

// Running returns the process of a program, if it lives.
func (s Supervisor) Running(name string) (Record, bool) {
	content, err := os.ReadFile(s.record(name))
	if err != nil {
		return Record{}, false
	}
	var r Record
	if err := json.Unmarshal(content, &r); err != nil {
		return Record{}, false
	}
	started, err := startOf(r.PID)
	return r, err == nil && started == r.Started
}

// Current says that the program runs and is what the Spec asks for.
func (s Supervisor) Current(spec Spec) bool {
	r, ok := s.Running(spec.Name)
	return ok && r.Fingerprint == spec.fingerprint()
}

// Start runs the program in a session of its own, so that closing the terminal does not end it.
func (s Supervisor) Start(spec Spec) error {
	for _, dir := range []string{s.Records, s.Logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("starting %s: %w", spec.Name, err)
		}
	}
	log, err := os.OpenFile(s.Log(spec.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	defer log.Close()
	// No context: cancelling this program must not kill the cluster it started.
	cmd := &exec.Cmd{
		Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Dir: "/",
		Env: append(os.Environ(), spec.Env...), Stdout: log, Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	if err := s.remember(spec, cmd.Process.Pid); err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", spec.Name, err), cmd.Process.Kill())
	}
	go func() { _ = cmd.Wait() }() // reap it if it dies first, so that it is not taken for alive
	return nil
}

func (s Supervisor) remember(spec Spec, pid int) error {
	started, err := startOf(pid)
	if err != nil {
		return err
	}
	content, err := json.Marshal(Record{PID: pid, Started: started, Fingerprint: spec.fingerprint()})
	if err != nil {
		return err
	}
	return os.WriteFile(s.record(spec.Name), content, 0o644)
}

// Stop asks the program to end, and makes it end when it has not within the grace time.
func (s Supervisor) Stop(name string, grace time.Duration) error {
	r, ok := s.Running(name)
	if ok {
		if err := s.end(name, r, grace); err != nil {
			return fmt.Errorf("stopping %s: %w", name, err)
		}
	}
	if err := os.Remove(s.record(name)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	return nil
}

func (s Supervisor) end(name string, r Record, grace time.Duration) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(r.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		deadline := time.Now().Add(grace)
		for time.Now().Before(deadline) {
			if _, ok := s.Running(name); !ok && threads(r.PID) <= 1 {
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return fmt.Errorf("process %d does not end", r.PID)
}

// threads is the number of threads of a process, 0 when it is gone. The first may have ended while others still hold the
// process's sockets: its successor could not listen.
func threads(pid int) int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0
	}
	return len(tasks)
}

// startOf identifies a process beyond its id. A zombie counts as dead.
func startOf(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the command in parentheses and may hold anything; count from behind it.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("process %d has no readable status", pid)
	}
	if fields[0] == "Z" {
		return "", fmt.Errorf("process %d is dead", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + " " + fields[19], nil
}
