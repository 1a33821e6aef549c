// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
)

// task is a process of the job, such as worker 1.
type task struct {
	Type  string `json:"type"`
	Index int    `json:"index"`
}

func (t task) String() string { return t.Type + " " + strconv.Itoa(t.Index) }

// serves is true for tasks that other tasks need to the end, and that never end by themselves.
func (t task) serves() bool { return t.Type == "ps" || t.Type == "server" }

// contract is what a process is told: who it is, and where it and the others listen.
type contract struct {
	me    task
	tasks map[task]string
}

// peers are the others, in order.
func (c contract) peers() []task {
	others := slices.DeleteFunc(slices.Collect(maps.Keys(c.tasks)), func(t task) bool { return t == c.me })
	slices.SortFunc(others, func(a, b task) int {
		if a.Type == b.Type {
			return a.Index - b.Index
		}
		return map[bool]int{true: -1, false: 1}[a.Type < b.Type]
	})
	return others
}

// read takes the contract from the environment, in the form it has there.
func read(getenv func(string) string) (contract, error) {
	c := contract{tasks: map[task]string{}}
	var err error
	switch {
	case getenv("TF_CONFIG") != "":
		err = c.readTensorFlow(getenv("TF_CONFIG"))
	case getenv("MX_CONFIG") != "":
		err = c.readMXNet(getenv)
	default:
		err = errors.New("neither TF_CONFIG nor MX_CONFIG is set")
	}
	if err == nil && c.tasks[c.me] == "" {
		err = fmt.Errorf("the contract has no address of %s, who is to read it", c.me)
	}
	return c, err
}

// readTensorFlow reads TF_CONFIG. In its sparse form a worker finds itself, by index, and all parameter servers, and a
// parameter server itself alone, whatever its index.
func (c *contract) readTensorFlow(text string) error {
	var config struct {
		Cluster map[string]json.RawMessage `json:"cluster"`
		Task    task                       `json:"task"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return fmt.Errorf("TF_CONFIG: %w", err)
	}
	c.me = config.Task
	sparse := false
	for kind, raw := range config.Cluster {
		var all []string
		if json.Unmarshal(raw, &all) == nil {
			for i, address := range all {
				c.tasks[task{kind, i}] = address
			}
			continue
		}
		var some map[int]string
		if err := json.Unmarshal(raw, &some); err != nil {
			return fmt.Errorf("TF_CONFIG, %s: %w", kind, err)
		}
		sparse = true
		for i, address := range some {
			c.tasks[task{kind, i}] = address
		}
	}
	if sparse && c.me.Type == "ps" {
		c.tasks = map[task]string{c.me: c.tasks[task{Type: "ps"}]}
	}
	return nil
}

// readMXNet reads MX_CONFIG, and checks that the variables ps-lite reads instead say the same.
func (c *contract) readMXNet(getenv func(string) string) error {
	var config struct {
		Cluster map[string][]struct {
			URL  string `json:"url"`
			Port int    `json:"port"`
		} `json:"cluster"`
		Task task `json:"task"`
	}
	if err := json.Unmarshal([]byte(getenv("MX_CONFIG")), &config); err != nil {
		return fmt.Errorf("MX_CONFIG: %w", err)
	}
	c.me = config.Task
	for kind, all := range config.Cluster {
		for i, a := range all {
			c.tasks[task{kind, i}] = net.JoinHostPort(a.URL, strconv.Itoa(a.Port))
		}
	}
	wants := []struct{ name, want string }{
		{"DMLC_ROLE", c.me.Type},
		{"DMLC_NUM_SERVER", strconv.Itoa(len(config.Cluster["server"]))},
		{"DMLC_NUM_WORKER", strconv.Itoa(len(config.Cluster["worker"]))},
	}
	for _, w := range wants {
		if got := getenv(w.name); got != w.want {
			return fmt.Errorf("%s is %q, and by MX_CONFIG it is %q", w.name, got, w.want)
		}
	}
	scheduler := task{Type: "scheduler"}
	if root := net.JoinHostPort(getenv("DMLC_PS_ROOT_URI"), getenv("DMLC_PS_ROOT_PORT")); root != c.tasks[scheduler] {
		return fmt.Errorf("DMLC_PS_ROOT_ is %s, and by MX_CONFIG the scheduler is %s", root, c.tasks[scheduler])
	}
	return nil
}
