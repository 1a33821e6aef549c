// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"slices"
	"strings"
)

// backEnd is something that places gangs or queues jobs, and what that costs. The figures are of docs/performance.md and the
// back ends' own sources.
type backEnd struct {
	name     string
	versions []string // of its API, the newest first
	resource string
	means    string
	without  string
	fix      string
}

// nativeGangs is the name of Kubernetes' own gang scheduling.
const nativeGangs = "native"

var backEnds = []backEnd{
	{
		name: nativeGangs, versions: []string{"scheduling.k8s.io/v1beta1"}, resource: "podgroups",
		means: "Kubernetes itself places gangs; a gang costs one patch of its PodGroup's status, and one of each pod's but the last, which halves " +
			"the pods a second under the scheduler's default limits (28 against 71, measured)",
		without: "a pod's schedulingGroup is dropped without a word",
		fix: "Kubernetes 1.37 or newer: --feature-gates=GenericWorkload=true on the API server, the scheduler and the controller manager, and " +
			"--runtime-config=scheduling.k8s.io/v1beta1=true on the API server",
	},
	{
		name: "kueue", versions: []string{"kueue.x-k8s.io/v1beta2", "kueue.x-k8s.io/v1beta1"}, resource: "workloads",
		means:   "jobs can be queued; a job costs one Workload and its few status writes, a pod nothing",
		without: "spec.scheduling.queue cannot be used",
		fix:     "install Kueue for queues, quotas and borrowing",
	},
	{
		name: "volcano", versions: []string{"scheduling.volcano.sh/v1beta1"}, resource: "podgroups",
		means: "Volcano can place gangs; a job costs one PodGroup, a pod at most one write",
		fix:   "install Volcano, if its queues and plugins are wanted",
	},
	{
		name: "coscheduling", versions: []string{"scheduling.x-k8s.io/v1alpha1"}, resource: "podgroups",
		means: "the coscheduling plugin can place gangs, if a scheduler of this cluster has it: its name is spec.schedulerName of the pods",
		fix:   "install scheduler-plugins, if the second scheduler it needs is wanted",
	},
	{
		name: "kai", versions: []string{"scheduling.run.ai/v2alpha2"}, resource: "podgroups",
		means: "KAI can place gangs and share GPUs; a pod costs a BindRequest: a create, an update and a delete",
		fix:   "install the KAI scheduler, if fractions of GPUs are wanted",
	},
}

// gangs says which back ends are there. A job that asks for a gang where there is none has the built-in guard.
func gangs(ctx context.Context, p patient) ([]finding, error) {
	gates, err := featureGates(ctx, p)
	found := []finding{{}}
	var there []string
	for _, b := range backEnds {
		f, served := b.examine(ctx, p)
		if served && b.name != "kueue" { // which admits jobs, and leaves placing to others
			there = append(there, b.name)
		}
		if b.name == nativeGangs {
			f = native(f, served, gates)
		}
		found = append(found, f)
		if b.name == nativeGangs && served {
			found = append(found, topology(gates, err))
		}
	}
	found[0] = summary(there, found[1:])
	return found, nil
}

// summary says whether anything places gangs.
func summary(there []string, found []finding) finding {
	switch {
	case len(there) > 0:
		return finding{Status: fine, Found: "placed as a whole by: " + strings.Join(there, ", ")}
	case slices.ContainsFunc(found, func(f finding) bool { return f.Status == unknown }):
		return finding{Status: unknown, Found: "what places gangs cannot be seen"}
	}
	return finding{
		Status: warn, Found: "no scheduler of this cluster places gangs",
		Means: "jobs that want all their pods or none rely on Millrace's own guard: pods that wait for the rest keep their devices until the time is over",
		Fix:   "one of: " + nativeGangs + " (below), or another scheduler",
	}
}

func (b backEnd) examine(ctx context.Context, p patient) (f finding, served bool) {
	for _, version := range b.versions {
		there, err := p.serves(ctx, version, b.resource)
		if err != nil {
			return finding{Check: b.name, Status: unknown, Found: version + ": " + explain(err)}, false
		}
		if there {
			return finding{Check: b.name, Status: fine, Found: b.resource + " of " + version, Means: b.means}, true
		}
	}
	return finding{Check: b.name, Status: missing, Found: b.versions[0] + " is not served", Means: b.without, Fix: b.fix}, false
}

// native knows two more things of Kubernetes' own gangs: a gate without its API, and a way to make them cheaper.
func native(f finding, served bool, gates map[string]bool) finding {
	if served {
		f.Fix = "--feature-gates=NominatedNodeNameForExpectation=false on the scheduler saves the patches of pods"
		return f
	}
	if f.Status == missing && gates["GenericWorkload"] {
		f.Status, f.Found = warn, "the gate GenericWorkload is on, and scheduling.k8s.io/v1beta1 is not served"
		f.Fix = "--runtime-config=scheduling.k8s.io/v1beta1=true on the API server"
	}
	return f
}

func topology(gates map[string]bool, err error) finding {
	f := finding{Check: "topology", Status: fine, Found: "TopologyAwareWorkloadScheduling is on", Means: "native gangs can be held in one rack, block or zone"}
	if on, known := gates["TopologyAwareWorkloadScheduling"]; err != nil || !known {
		f.Status, f.Found = unknown, "the API server's gates cannot be seen"
	} else if !on {
		f.Status, f.Found, f.Means = missing, "TopologyAwareWorkloadScheduling is off", "native gangs cannot be held in one rack, block or zone"
		f.Fix = "--feature-gates=TopologyAwareWorkloadScheduling=true on the API server, the scheduler and the controller manager"
	}
	return f
}

// featureGates are the API server's, as its metrics tell them.
func featureGates(ctx context.Context, p patient) (map[string]bool, error) {
	text, err := p.raw(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	gates := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ours := strings.CutPrefix(lines.Text(), `kubernetes_feature_enabled{name="`)
		if !ours {
			continue
		}
		name, rest, _ := strings.Cut(rest, `"`)
		gates[name] = strings.HasSuffix(rest, " 1")
	}
	return gates, nil
}
