// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// arguments of the components that are wanted, by name.
func arguments(state string, asked options.Options) map[string][]string {
	c := &Cluster{paths: paths.Paths{State: state}, settings: settings{PKI: state + "/pki"}, options: asked}
	all := map[string][]string{}
	for _, comp := range c.wanted() {
		all[comp.name] = comp.args
	}
	return all
}

func TestAnOptionChangesWhatItMust(t *testing.T) {
	least := arguments("/state", nil)
	for name, test := range map[string]struct {
		asked   options.Options
		changed []string
	}{
		"simulated nodes":    {options.Options{options.Nodes: "20"}, []string{"kwok"}},
		"counted GPUs":       {options.Options{options.GPUs: "4"}, []string{"gpus"}},
		"claimed GPUs":       {options.Options{options.DRA: "2"}, []string{"dra"}},
		"gang scheduling":    {options.Options{options.Gates: "gang"}, []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}},
		"nothing any longer": {options.Options{options.Nodes: "0", options.GPUs: "0", options.DRA: "0", options.Gates: "none"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var changed []string
			now := arguments("/state", test.asked)
			for _, name := range slices.Sorted(maps.Keys(now)) {
				if before, there := least[name]; !there || !slices.Equal(before, now[name]) {
					changed = append(changed, name)
				}
			}
			if !slices.Equal(changed, test.changed) {
				t.Errorf("changed: %v", changed)
			}
		})
	}
	gated := arguments("/state", options.Options{options.Gates: "gang"})
	const gates, served = "--feature-gates=GenericWorkload=true,TopologyAwareWorkloadScheduling=true", "--runtime-config=scheduling.k8s.io/v1beta1=true"
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if !slices.Contains(gated[name], gates) || slices.Contains(gated[name], served) != (name == "kube-apiserver") {
			t.Errorf("%s %v", name, gated[name])
		}
	}
}

func TestAGPUBecomesUnhealthyAndHealthy(t *testing.T) {
	where := paths.Paths{State: t.TempDir()}
	gpus := GPUsOf(where)
	if err := gpus.Set("0", false); err == nil {
		t.Error("a GPU was set that is not there")
	}
	if err := (options.Options{options.GPUs: "2"}).Save(optionsFile(where)); err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"2", "-1", "x", "../0", "01"} {
		if err := gpus.Set(index, false); err == nil {
			t.Errorf("GPU %q of 2 was set", index)
		}
	}
	file := filepath.Join(where.State, "gpus", "unhealthy", "gpu-1")
	for range 2 { // saying it again changes nothing
		if err := gpus.Set("1", false); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := gpus.Set("1", true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("it stays unhealthy: %v", err)
		}
	}
}

func TestSimulatedNodesHaveAPlace(t *testing.T) {
	for i, want := range map[int]simulated{
		0: {"simulated-0", 0, 0, 0}, 7: {"simulated-7", 0, 0, 0}, 8: {"simulated-8", 1, 0, 0},
		32: {"simulated-32", 4, 1, 0}, 127: {"simulated-127", 15, 3, 0}, 128: {"simulated-128", 16, 4, 1},
	} {
		if got := simulatedNode(i); got != want {
			t.Errorf("node %d is %+v", i, got)
		}
	}
}
