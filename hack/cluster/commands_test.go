// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"reflect"
	"testing"

	"github.com/millrace-ml/millrace/hack/cluster/internal/cluster"
	"github.com/millrace-ml/millrace/hack/cluster/internal/elsewhere"
)

func TestTarget(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want target
	}{
		"the local cluster by default":      {nil, &cluster.Cluster{}},
		"a KUBECONFIG is the user's choice": {map[string]string{"KUBECONFIG": "/theirs"}, elsewhere.Existing{}},
		"said in so many words":             {map[string]string{"CLUSTER": "existing"}, elsewhere.Existing{}},
		"the local one in spite of it":      {map[string]string{"KUBECONFIG": "/theirs", "CLUSTER": "local"}, &cluster.Cluster{}},
		"kind on request":                   {map[string]string{"CLUSTER": "kind"}, elsewhere.Kind{}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newProgram(func(key string) string {
				if key == "HOME" {
					return "/home"
				}
				return test.env[key]
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := reflect.TypeOf(p.target), reflect.TypeOf(test.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":             nil,
		"an unknown command":     {"fly"},
		"too few arguments":      {"load"},
		"too many arguments":     {"down", "now"},
		"an option that is none": {"up", "GPUS=many"},
		"a GPU as no GPU is":     {"gpu", "0", "tired"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), args); !errors.Is(err, errUsage) {
				t.Errorf("got %v, want a usage error", err)
			}
		})
	}
}
