// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// get reads a path below the root of a server.
type get func(path string) ([]byte, error)

// protocols are how servers are asked. Web has none.
var protocols = map[v1alpha1.NotebookServer]func(get) (Answer, error){
	v1alpha1.Jupyter: jupyter,
	v1alpha1.VSCode:  codeServer,
	v1alpha1.RStudio: rstudio,
}

// untracked keeps a question from being taken for use.
const untracked = "?no_track_activity=1"

// jupyter asks Jupyter's kernels, its terminals where it has any, and when its API was used, such as to save a file.
func jupyter(ask get) (Answer, error) {
	answer, err := kernels(ask)
	if err != nil {
		return Answer{}, err
	}
	for _, more := range []func(get) (Answer, error){terminals, status} {
		other, err := more(ask)
		if absent(err) {
			continue
		}
		if err != nil {
			return Answer{}, err
		}
		answer = answer.with(other)
	}
	return answer, nil
}

// resting are the states of a kernel that runs nothing. One that is not known is taken for work.
var resting = []string{"idle", "dead", "starting", "terminating"}

func kernels(ask get) (Answer, error) {
	var all []struct {
		State       string    `json:"execution_state"`
		Last        time.Time `json:"last_activity"`
		Connections int       `json:"connections"`
	}
	if err := decode(ask, "api/kernels", &all); err != nil {
		return Answer{}, err
	}
	var answer Answer
	for _, k := range all {
		answer = answer.with(Answer{Busy: !slices.Contains(resting, k.State), Connections: k.Connections, Last: k.Last})
	}
	return answer, nil
}

// terminals tell when something was typed or shown, but not whether their programs go on when nobody looks: an open one is a connection. One
// that tells nothing, as those of old versions, is taken for work.
func terminals(ask get) (Answer, error) {
	var all []struct {
		Last time.Time `json:"last_activity"`
	}
	if err := decode(ask, "api/terminals", &all); err != nil {
		return Answer{}, err
	}
	var answer Answer
	for _, t := range all {
		answer = answer.with(Answer{Busy: t.Last.IsZero(), Connections: 1, Last: t.Last})
	}
	return answer, nil
}

// status tells when the API was used. The connections it counts are those that kernels tell of.
func status(ask get) (Answer, error) {
	var s struct {
		Last time.Time `json:"last_activity"`
	}
	err := decode(ask, "api/status", &s)
	return Answer{Last: s.Last}, err
}

func decode(ask get, path string, into any) error {
	text, err := ask(path + untracked)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, into) != nil {
		return fmt.Errorf("GET %s: the answer is not that of a Jupyter server", path)
	}
	return nil
}

// codeServer asks code-server's heartbeat, which beats while a client is connected.
func codeServer(ask get) (Answer, error) {
	text, err := ask("healthz")
	if err != nil {
		return Answer{}, err
	}
	var beat struct {
		Status string `json:"status"`
		Last   int64  `json:"lastHeartbeat"`
	}
	if json.Unmarshal(text, &beat) != nil || beat.Status == "" {
		return Answer{}, errors.New("GET healthz: the answer is not that of code-server")
	}
	answer := Answer{Busy: beat.Status == "alive"}
	if beat.Last > 0 {
		answer.Last = time.UnixMilli(beat.Last)
	}
	return answer, nil
}

// rstudio asks the health check of RStudio Workbench (server-health-check-enabled=1): lines such as "idle-seconds: 0".
func rstudio(ask get) (Answer, error) {
	text, err := ask("health-check")
	if err != nil {
		return Answer{}, err
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if number, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			values[strings.TrimSpace(key)] = number
		}
	}
	seconds, told := values["idle-seconds"]
	if !told {
		return Answer{}, errors.New("GET health-check: the answer is not that of RStudio Workbench")
	}
	return Answer{Idle: time.Duration(seconds * float64(time.Second)), Busy: seconds == 0}, nil
}
