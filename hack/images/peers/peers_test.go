// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const dense = `{"cluster":{"chief":["c:1"],"ps":["p:2"],"worker":["a:3","b:4"]},"task":{"type":"worker","index":1},"environment":"cloud"}`

func TestRead(t *testing.T) {
	mxnet := map[string]string{
		"MX_CONFIG": `{"cluster":{"scheduler":[{"url":"s","port":9091}],"worker":[{"url":"a","port":9092}]},` +
			`"labels":{"scheduler":"","worker":""},"task":{"type":"worker","index":0}}`,
		"DMLC_ROLE": "worker", "DMLC_NUM_SERVER": "0", "DMLC_NUM_WORKER": "1", "DMLC_PS_ROOT_URI": "s", "DMLC_PS_ROOT_PORT": "9091",
	}
	but := func(name, value string) map[string]string {
		env := maps.Clone(mxnet)
		env[name] = value
		return env
	}
	for name, test := range map[string]struct {
		env       map[string]string
		want      map[string]string // task -> address
		wantMe    string
		wantError string
	}{
		"a dense TF_CONFIG lists everybody": {
			env: map[string]string{"TF_CONFIG": dense}, wantMe: "worker 1",
			want: map[string]string{"chief 0": "c:1", "ps 0": "p:2", "worker 0": "a:3", "worker 1": "b:4"},
		},
		"a sparse TF_CONFIG has the worker itself and the parameter servers": {
			env:    map[string]string{"TF_CONFIG": `{"cluster":{"worker":{"1":"b:4"},"ps":["p:2"]},"task":{"type":"worker","index":1}}`},
			wantMe: "worker 1", want: map[string]string{"ps 0": "p:2", "worker 1": "b:4"},
		},
		"a sparse TF_CONFIG has a parameter server alone": {
			env:    map[string]string{"TF_CONFIG": `{"cluster":{"worker":{},"ps":["q:5"]},"task":{"type":"ps","index":1}}`},
			wantMe: "ps 1", want: map[string]string{"ps 1": "q:5"},
		},
		"MX_CONFIG and DMLC_ agree":     {env: mxnet, wantMe: "worker 0", want: map[string]string{"scheduler 0": "s:9091", "worker 0": "a:9092"}},
		"another role":                  {env: but("DMLC_ROLE", "server"), wantError: "DMLC_ROLE"},
		"another number of workers":     {env: but("DMLC_NUM_WORKER", "2"), wantError: "DMLC_NUM_WORKER"},
		"another scheduler":             {env: but("DMLC_PS_ROOT_URI", "x"), wantError: "DMLC_PS_ROOT_"},
		"no contract":                   {wantError: "neither"},
		"not JSON":                      {env: map[string]string{"TF_CONFIG": "{"}, wantError: "TF_CONFIG"},
		"a task that is not in the job": {env: map[string]string{"TF_CONFIG": strings.Replace(dense, `"index":1`, `"index":2`, 1)}, wantError: "worker 2"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := read(func(name string) string { return test.env[name] })
			if test.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantError) {
					t.Fatalf("want an error about %s, got %v", test.wantError, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for task, address := range c.tasks {
				got[task.String()] = address
			}
			if diff := cmp.Diff(test.want, got); diff != "" || c.me.String() != test.wantMe {
				t.Errorf("want %s, got %s; tasks (-want +got):\n%s", test.wantMe, c.me, diff)
			}
		})
	}
}

func TestEverybodyMeetsEverybodyAndServersStay(t *testing.T) {
	addresses := map[string][]string{"chief": free(t, 1), "ps": free(t, 1), "worker": free(t, 2)}
	ctx, kill := context.WithCancel(t.Context())
	ends, server := make(chan error), make(chan error)
	for _, me := range []task{{"chief", 0}, {"worker", 0}, {"worker", 1}} {
		go func() { ends <- run(ctx, config(addresses, me), time.Minute) }()
	}
	go func() { server <- run(ctx, config(addresses, task{"ps", 0}), time.Minute) }()
	for range 3 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-server:
		t.Errorf("the server ended by itself: %v", err)
	default:
	}
	kill()
	if err := <-server; err != nil {
		t.Errorf("the server was killed, and says %v", err)
	}
}

func TestTheMissingIsNamed(t *testing.T) {
	addresses := map[string][]string{"worker": free(t, 2)}
	err := run(t.Context(), config(addresses, task{"worker", 0}), 300*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "worker 0 has not met worker 1 at "+addresses["worker"][1]) {
		t.Errorf("want worker 1 to be named, got %v", err)
	}
}

func TestAnImpostorIsNamed(t *testing.T) {
	addresses := map[string][]string{"worker": free(t, 2)}
	swapped := map[string][]string{"worker": {addresses["worker"][1], addresses["worker"][0]}}
	go func() { _ = run(t.Context(), config(swapped, task{"worker", 0}), 2*time.Second) }() // it finds itself in the wrong place too
	err := run(t.Context(), config(addresses, task{"worker", 0}), time.Second)
	if err == nil || !strings.Contains(err.Error(), `it says "worker 0`) {
		t.Errorf("want to hear that worker 0 answers for worker 1, got %v", err)
	}
}

// config is the environment of a task.
func config(addresses map[string][]string, me task) func(string) string {
	text, err := json.Marshal(map[string]any{"cluster": addresses, "task": me})
	return func(name string) string {
		if name != "TF_CONFIG" || err != nil {
			return ""
		}
		return string(text)
	}
}

// free are addresses nobody listens on.
func free(t *testing.T, n int) []string {
	t.Helper()
	var found []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all of them only now, so that no two are the same
		found = append(found, l.Addr().String())
	}
	return found
}
