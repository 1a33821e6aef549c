// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

func supervisor(t *testing.T) Supervisor {
	return Supervisor{Records: t.TempDir(), Logs: t.TempDir()}
}

func TestStartAndStop(t *testing.T) {
	s := supervisor(t)
	spec := Spec{Name: "sleeper", Path: "/bin/sleep", Args: []string{"60"}, Inputs: []string{"one"}}
	if err := s.Start(spec); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(spec.Name, time.Second) }()
	if !s.Current(spec) {
		t.Error("what was just started does not count as running")
	}
	changed := spec
	changed.Inputs = []string{"two"}
	if s.Current(changed) {
		t.Error("a process that has read another configuration counts as current")
	}
	if err := s.Stop(spec.Name, time.Second); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Running(spec.Name); ok {
		t.Error("a stopped process counts as running")
	}
	if err := s.Stop(spec.Name, time.Second); err != nil {
		t.Errorf("stopping what does not run: %v", err)
	}
}

func TestARecycledProcessIDIsNotOurs(t *testing.T) {
	s := supervisor(t)
	content, err := json.Marshal(Record{PID: os.Getpid(), Started: "another boot 1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.record("recycled"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Running("recycled"); ok {
		t.Error("a process that merely has the id counts as ours, and would be killed")
	}
	if err := s.Stop("recycled", time.Second); err != nil {
		t.Fatal(err)
	}
}
