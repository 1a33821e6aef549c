// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	controller "github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/internal/names"
)

// served is a check for an API that is there or not: it says what it means when it is, what when it is not, and the remedy.
func served(groupVersion, resource string, says [3]string) func(context.Context, patient) ([]finding, error) {
	return func(ctx context.Context, p patient) ([]finding, error) {
		there, err := p.serves(ctx, groupVersion, resource)
		if err != nil {
			return nil, err
		}
		if !there {
			return []finding{{Status: missing, Found: resource + " of " + groupVersion + " is not served", Means: says[1], Fix: says[2]}}, nil
		}
		return []finding{{Status: fine, Found: resource + " of " + groupVersion, Means: says[0]}}, nil
	}
}

// supply is how much of an extended resource the nodes have.
type supply struct {
	nodes                 int
	capacity, allocatable int64
	short                 []string // nodes that can give less than they have
}

// countedDevices counts the extended resources of nodes.
func countedDevices(ctx context.Context, p patient) ([]finding, error) {
	var nodes corev1.NodeList
	if _, err := p.get(ctx, "/api/v1/nodes", &nodes); err != nil {
		return nil, err
	}
	supplies := map[corev1.ResourceName]*supply{}
	for i := range nodes.Items {
		count(&nodes.Items[i], supplies)
	}
	if len(supplies) == 0 {
		return []finding{{
			Status: missing, Found: "no node has devices that are counted", Means: "a job that asks for GPUs by number waits for ever",
			Fix: "install the device plugin of the devices' vendor",
		}}, nil
	}
	var found []finding
	for _, name := range slices.Sorted(maps.Keys(supplies)) {
		found = append(found, supplies[name].finding(string(name)))
	}
	return found, nil
}

// count adds a node's extended resources.
func count(node *corev1.Node, to map[corev1.ResourceName]*supply) {
	for name, capacity := range node.Status.Capacity {
		domain, _, extended := strings.Cut(string(name), "/")
		if !extended || domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") || capacity.IsZero() {
			continue
		}
		if to[name] == nil {
			to[name] = &supply{}
		}
		s, allocatable := to[name], node.Status.Allocatable[name]
		s.nodes++
		s.capacity += capacity.Value()
		s.allocatable += allocatable.Value()
		if allocatable.Cmp(capacity) < 0 {
			s.short = append(s.short, node.Name)
		}
	}
}

func (s supply) finding(name string) finding {
	f := finding{Status: fine, Found: fmt.Sprintf("%s: %d of %d can be given, on %s", name, s.allocatable, s.capacity, plural(s.nodes, "node"))}
	if len(s.short) > 0 {
		f.Status, f.Means = warn, "devices are unhealthy, or their plugin does not run, on "+listing(s.short)
		f.Fix = "look at the device plugin's log on these nodes"
	}
	return f
}

// listing names the first few.
func listing(all []string) string {
	const most = 5
	slices.Sort(all)
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

// cordonedNodes finds the nodes that Millrace has cordoned, and those of them that nobody will uncordon.
func cordonedNodes(ctx context.Context, p patient) ([]finding, error) {
	var nodes corev1.NodeList
	var accelerators v1alpha1.AcceleratorList
	if _, err := p.get(ctx, "/api/v1/nodes", &nodes); err != nil {
		return nil, err
	}
	if _, err := p.get(ctx, "/apis/"+v1alpha1.GroupVersion.String()+"/accelerators", &accelerators); err != nil {
		return nil, err
	}
	var found []finding
	for i := range nodes.Items {
		n := &nodes.Items[i]
		m := controller.MarkOf(n)
		if m == nil || m.Released || !n.Spec.Unschedulable {
			continue
		}
		f := finding{Status: warn, Found: fmt.Sprintf("%s was cordoned by Millrace for Accelerator %s: %s", n.Name, m.Accelerator, m.Evidence)}
		f.Means, f.Fix = "it takes no new pods until it is healthy again", "mend the node; to use it as it is: kubectl uncordon "+n.Name
		if len(accelerators.Items) == 0 {
			f.Means = "there is no Accelerator, so that nobody uncordons it when it is healthy again"
			f.Fix = fmt.Sprintf("when it is: kubectl uncordon %s && kubectl annotate node %s %s-", n.Name, n.Name, names.Cordoned)
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		return []finding{{Status: fine, Found: "Millrace has cordoned no node"}}, nil
	}
	return found, nil
}

// claimedDevices counts the devices of dynamic resource allocation.
func claimedDevices(ctx context.Context, p patient) ([]finding, error) {
	there, err := p.serves(ctx, "resource.k8s.io/v1", "resourceclaims")
	if err != nil {
		return nil, err
	}
	if !there {
		return []finding{{
			Status: missing, Found: "resource.k8s.io/v1 is not served", Means: "devices cannot be claimed", Fix: "they need Kubernetes 1.34 or newer",
		}}, nil
	}
	var offers resourcev1.ResourceSliceList
	if _, err := p.get(ctx, "/apis/resource.k8s.io/v1/resourceslices", &offers); err != nil {
		return nil, err
	}
	drivers := map[string]int{}
	for i := range offers.Items {
		drivers[offers.Items[i].Spec.Driver] += len(offers.Items[i].Spec.Devices)
	}
	if len(drivers) == 0 {
		return []finding{{
			Status: missing, Found: "no driver offers devices to claim", Means: "an Accelerator of a device class has nothing to give",
			Fix: "install the DRA driver of the devices' vendor",
		}}, nil
	}
	var found []finding
	for _, driver := range slices.Sorted(maps.Keys(drivers)) {
		found = append(found, finding{
			Status: fine, Found: fmt.Sprintf("%s offers %s", driver, plural(drivers[driver], "device")),
			Means: "the scheduler places about a tenth as many pods a second with claims as with counted devices (56 to 64 against 680, Kubernetes' own figures)",
		})
	}
	return found, nil
}

// schedulerLimits looks for the limits of requests in the scheduler's own command line, where it is a pod.
func schedulerLimits(ctx context.Context, p patient) ([]finding, error) {
	var pods corev1.PodList
	if _, err := p.get(ctx, "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-scheduler", &pods); err != nil {
		return nil, err
	}
	unseen := []finding{{
		Status: unknown, Found: "the limits of the scheduler's requests cannot be seen",
		Means: "its default of 50 a second is what a large gang waits for",
		Fix:   "clientConnection: {qps: 500, burst: 1000} in the scheduler's configuration, unless it is there",
	}}
	if len(pods.Items) == 0 {
		return unseen, nil
	}
	words := commandLine(&pods.Items[0])
	if _, configured := words["config"]; configured {
		return unseen, nil
	}
	if qps, set := words["kube-api-qps"]; set {
		return []finding{{Status: fine, Found: "the scheduler may send " + qps + " requests a second"}}, nil
	}
	return []finding{{
		Status: warn, Found: "the scheduler may send 50 requests a second, its default",
		Means: "at most 50 pods a second are placed, and about half as many of native gangs (71 and 28 with its burst, measured)",
		Fix:   "clientConnection: {qps: 500, burst: 1000} in the scheduler's configuration",
	}}, nil
}

// commandLine is the flags of a pod's containers.
func commandLine(pod *corev1.Pod) map[string]string {
	words := map[string]string{}
	for _, c := range pod.Spec.Containers {
		for _, word := range slices.Concat(c.Command, c.Args) {
			if flag, ours := strings.CutPrefix(word, "--"); ours {
				name, value, _ := strings.Cut(flag, "=")
				words[name] = value
			}
		}
	}
	return words
}
