// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/checkpoint"
	"github.com/millrace-ml/millrace/internal/names"
)

// podMetrics is what the metrics server says of a pod. It is optional, so its types are not worth a dependency.
var podMetrics = schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: "PodMetrics"}

// top shows what the pods of jobs use and ask for.
type top struct {
	*Program
	format format
	all    bool
}

func newTop(p *Program) *cobra.Command {
	cmd := &top{Program: p, format: asTable}
	c := &cobra.Command{
		Use:   "top [JOB]",
		Short: "Show what the pods of jobs use, request and may use at most",
		Long: `Show CPU and memory of the pods of a job, or of all jobs: what they use now (from the metrics
server, where the cluster has one), request, and may use at most, and the devices they hold.

With -o yaml or json each pod is an item with its usage, requests and limits; usage is left out where
it is not known.`,
		Example: `  mill top
  mill top digits
  mill top -A -o json | jq '.items[] | {pod, memory: .usage.memory}'`,
		Args:              atMostOneJob,
		ValidArgsFunction: p.completeNames(trainingJob),
		RunE: func(c *cobra.Command, args []string) error {
			return cmd.run(c.Context(), jobName(strings.Join(args, "")))
		},
	}
	c.Flags().BoolVarP(&cmd.all, "all-namespaces", "A", false, "show jobs of all namespaces")
	addFormat(c, &cmd.format)
	return c
}

func (t *top) run(ctx context.Context, name string) error {
	if name != "" && t.all {
		return usagef("a name goes with one namespace: leave out -A, or use -n")
	}
	cluster, err := t.connect()
	if err != nil {
		return err
	}
	opts := []client.ListOption{client.HasLabels{names.TrainingJob}}
	if name != "" {
		if _, err := cluster.job(ctx, name); err != nil {
			return err
		}
		opts = []client.ListOption{client.MatchingLabels{names.TrainingJob: name}}
	}
	if !t.all {
		opts = append(opts, client.InNamespace(cluster.Namespace))
	}
	var pods corev1.PodList
	if err := cluster.List(ctx, &pods, opts...); err != nil {
		return err
	}
	live := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	if len(live) == 0 && t.format == asTable {
		fmt.Fprintln(t.Err, "No pods of jobs are running or waiting.")
		return nil
	}
	used, err := usageOf(ctx, cluster, opts)
	if err != nil {
		fmt.Fprintf(t.Err, "note: usage is not shown: %s\n", unmeasured(err))
	}
	found := consumers(live, used)
	if t.format != asTable {
		return writeDocument(t.Out, t.format, map[string]any{"items": found})
	}
	t.write(found)
	return nil
}

// consumer is a pod and what it uses, requests and may use at most.
type consumer struct {
	Namespace string              `json:"namespace"`
	Job       string              `json:"job"`
	Pod       string              `json:"pod"`
	Node      string              `json:"node,omitempty"`
	Status    string              `json:"status"`
	Step      *int64              `json:"step,omitempty"`
	Usage     corev1.ResourceList `json:"usage,omitempty"`
	Requests  corev1.ResourceList `json:"requests,omitempty"`
	Limits    corev1.ResourceList `json:"limits,omitempty"`
}

// consumers are pods by namespace, job and name.
func consumers(pods []corev1.Pod, used map[client.ObjectKey]corev1.ResourceList) []consumer {
	found := make([]consumer, len(pods))
	for i := range pods {
		p := &pods[i]
		requests, limits := asked(p)
		found[i] = consumer{
			Namespace: p.Namespace, Job: p.Labels[names.TrainingJob], Pod: p.Name, Node: p.Spec.NodeName, Status: podStatus(p), Step: checkpoint.Step(p),
			Usage: used[client.ObjectKeyFromObject(p)], Requests: requests, Limits: limits,
		}
	}
	slices.SortFunc(found, func(a, b consumer) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Pod, b.Pod))
	})
	return found
}

// unmeasured says why there is no usage to show.
func unmeasured(err error) string {
	if isUnserved(err) {
		return "the cluster does not serve metrics.k8s.io; install metrics-server to see it"
	}
	return explain(err)
}

// usageOf reads what pods use, by namespace and name.
func usageOf(ctx context.Context, cluster *Cluster, opts []client.ListOption) (map[client.ObjectKey]corev1.ResourceList, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(podMetrics.GroupVersion().WithKind("PodMetricsList"))
	if err := cluster.List(ctx, list, opts...); err != nil {
		return nil, err
	}
	used := map[client.ObjectKey]corev1.ResourceList{}
	for i := range list.Items {
		item := &list.Items[i]
		containers, _, err := unstructured.NestedSlice(item.Object, "containers")
		if err != nil {
			return nil, fmt.Errorf("reading metrics of pod %s: %w", item.GetName(), err)
		}
		total := corev1.ResourceList{}
		for _, c := range containers {
			content, _ := c.(map[string]any)
			amounts, _, err := unstructured.NestedStringMap(content, "usage")
			if err != nil {
				return nil, fmt.Errorf("reading metrics of pod %s: %w", item.GetName(), err)
			}
			addTo(total, parse(amounts))
		}
		used[client.ObjectKeyFromObject(item)] = total
	}
	return used, nil
}

// parse reads quantities, and leaves out what is none.
func parse(amounts map[string]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, text := range amounts {
		if q, err := resource.ParseQuantity(text); err == nil {
			list[corev1.ResourceName(name)] = q
		}
	}
	return list
}

func addTo(total, more corev1.ResourceList) {
	for name, q := range more {
		sum := total[name]
		sum.Add(q)
		total[name] = sum
	}
}

func (t *top) write(found []consumer) {
	columns := table{
		header: []string{"JOB", "POD", "STATUS", "STEP", "CPU", "REQUEST", "LIMIT", "MEMORY", "REQUEST", "LIMIT", "DEVICES"},
		paint:  painter(t.colour(t.Out)).cells,
	}
	if t.all {
		columns.header = append([]string{"NAMESPACE"}, columns.header...)
	}
	for _, c := range found {
		row := []string{
			c.Job, c.Pod, c.Status, stepOf(c),
			cores(c.Usage), cores(c.Requests), cores(c.Limits), memory(c.Usage), memory(c.Requests), memory(c.Limits), devices(c.Limits),
		}
		if t.all {
			row = append([]string{c.Namespace}, row...)
		}
		columns.add(row...)
	}
	columns.write(t.Out, "")
}

// asked sums what the containers of a pod request and may use at most. A pod has no limit where one container has none.
func asked(p *corev1.Pod) (requests, limits corev1.ResourceList) {
	requests, limits = corev1.ResourceList{}, corev1.ResourceList{}
	for _, c := range p.Spec.Containers {
		addTo(requests, c.Resources.Requests)
		addTo(limits, c.Resources.Limits)
	}
	for name := range limits {
		unlimited := slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
			_, limited := c.Resources.Limits[name]
			return !limited
		})
		if unlimited && (name == corev1.ResourceCPU || name == corev1.ResourceMemory) {
			delete(limits, name)
		}
	}
	return requests, limits
}

func stepOf(c consumer) string {
	if c.Step == nil {
		return "-"
	}
	return fmt.Sprint(*c.Step)
}

func cores(list corev1.ResourceList) string {
	q, ok := list[corev1.ResourceCPU]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%dm", q.MilliValue())
}

func memory(list corev1.ResourceList) string {
	q, ok := list[corev1.ResourceMemory]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%dMi", q.Value()/(1<<20))
}

// devices lists what is neither CPU, memory nor disk, such as nvidia.com/gpu=8.
func devices(list corev1.ResourceList) string {
	var found []string
	for name, q := range list {
		if strings.Contains(string(name), "/") {
			found = append(found, string(name)+"="+q.String())
		}
	}
	if len(found) == 0 {
		return "-"
	}
	slices.Sort(found)
	return strings.Join(found, ",")
}
