// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
)

// What a trial may cost in requests, and how large an object of a search may be, whatever the number of its trials. Requests of log
// endpoints go to nodes and are not stored: they are counted beside the others.
const (
	requestsForTrial = 6
	largestObject    = 256 << 10
)

// TestTrials runs one search of very many short trials to its end, with the metrics read from logs, and TrainingJobs beside it. The rate of
// the last tenth tells whether a trial costs more the more there were.
func TestTrials(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		trials    int32
	}{{"Random", 10_000}, {"BayesianOptimization", 3000}} {
		t.Run(c.algorithm, func(t *testing.T) { searchFor(t, c.algorithm, count(t, c.trials)) })
	}
}

// count is a number of trials, or that of the environment for a look at a shorter search.
func count(t *testing.T, trials int32) int32 {
	t.Helper()
	n, err := strconv.ParseInt(cmp.Or(os.Getenv("MILLRACE_BENCH_TRIALS"), fmt.Sprint(trials)), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

func searchFor(t *testing.T, algorithm string, trials int32) {
	t.Helper()
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ns := b.server.Namespace(t)
	cluster := b.playTrials(ctx, ns)
	start := b.settle(3)
	peak, first := b.sampleRSS(ctx), b.probe(ctx)
	cpu, began := b.manager.cpu(), time.Now()
	e := experimentOf(ns, "many", 50)
	e.Spec.Algorithm.Name, e.Spec.MaxTrials = v1alpha1.AlgorithmName(algorithm), trials
	for _, name := range []string{"a", "b", "c"} { // the search does not know that they do nothing
		e.Spec.Parameters = append(e.Spec.Parameters, v1alpha1.Parameter{Name: name, Type: v1alpha1.ParameterDouble, Min: "0", Max: "1"})
	}
	if err := b.admin.Create(ctx, e); err != nil {
		t.Fatal(err)
	}
	var tenths [2]time.Duration // what the first tenth of the trials took of the processor, and the last
	b.within(time.Hour, func() bool { return cluster.ended.count() >= int(trials/10) })
	tenths[0] = b.manager.cpu() - cpu
	b.within(time.Hour, func() bool { return cluster.ended.count() >= int(trials-trials/10) })
	late := b.manager.cpu()
	b.within(time.Hour, func() bool { return cluster.ended.count() == int(trials) })
	took, used := time.Since(began), b.manager.cpu()-cpu
	tenths[1] = b.manager.cpu() - late
	stop()
	b.settle(3)
	asked, _ := b.asked(start)
	table := newTable("trials", "took", "trials/min", "first tenth", "last tenth", "CPU for a trial", "first tenth", "last tenth", "peak RSS",
		"TrainingJob's first pod p50", "p99")
	rates := cluster.ended.rates(began)
	each := func(used time.Duration, trials int32) string {
		return (used / time.Duration(trials)).Round(10 * time.Microsecond).String()
	}
	table.row(trials, took.Round(time.Second), fmt.Sprintf("%.0f", float64(trials)/took.Minutes()), rates[0], rates[1],
		each(used, trials), each(tenths[0], trials/10), each(tenths[1], trials/10), fmt.Sprintf("%d MiB", peak()>>20), ms(first(), 50), ms(first(), 99))
	t.Log("one search of " + algorithm + " with batch Jobs, 50 at once\n" + table.String())
	b.holdRequests(asked, int(trials))
	b.holdSizes(ns)
}

// rates are the trials that ended in a minute of the first tenth and of the last.
func (m *moments) rates(began time.Time) [2]string {
	ends := []time.Time{began}
	for _, at := range m.at {
		ends = append(ends, at)
	}
	slices.SortFunc(ends, time.Time.Compare)
	n := len(ends) / 10
	rate := func(part []time.Time) string { return fmt.Sprintf("%.0f", float64(n)/part[n].Sub(part[0]).Minutes()) }
	return [2]string{rate(ends), rate(ends[len(ends)-n-1:])}
}

// holdRequests fails when a trial costs more requests than it may.
func (b *bench) holdRequests(asked []string, trials int) {
	b.t.Helper()
	all, total := map[string]int{}, 0
	for _, what := range asked {
		if all[what]++; what != "get pods/log" {
			total++
		}
	}
	b.t.Logf("requests for a trial: %s", perJob(all, trials))
	if total > requestsForTrial*trials {
		b.t.Errorf("%d requests for %d trials, want at most %d for each", total, trials, requestsForTrial)
	}
}

// holdSizes fails when an object of a search is larger than it may be.
func (b *bench) holdSizes(ns string) {
	b.t.Helper()
	for _, list := range []client.ObjectList{
		&v1alpha1.ExperimentList{}, &v1alpha1.SuggestionList{}, &corev1.ConfigMapList{}, &v1alpha1.TrialList{},
	} {
		if err := b.admin.List(b.t.Context(), list, client.InNamespace(ns)); err != nil {
			b.t.Fatal(err)
		}
		text, err := json.Marshal(list)
		if err != nil {
			b.t.Fatal(err)
		}
		var items struct{ Items []json.RawMessage }
		if err := json.Unmarshal(text, &items); err != nil {
			b.t.Fatal(err)
		}
		most := 0
		for _, item := range items.Items {
			most = max(most, len(item))
		}
		b.t.Logf("%T: %d objects, the largest has %d bytes", list, len(items.Items), most)
		if most > largestObject {
			b.t.Errorf("%T: an object has %d bytes, want at most %d", list, most, largestObject)
		}
	}
}

// sampleRSS looks at the memory of the manager four times a second, and returns the most it saw.
func (b *bench) sampleRSS(ctx context.Context) func() int64 {
	var mu sync.Mutex
	most := b.manager.rss()
	go func() {
		for ctx.Err() == nil {
			mu.Lock()
			most = max(most, b.manager.rss())
			mu.Unlock()
			<-time.After(250 * time.Millisecond)
		}
	}()
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}

// probe makes a TrainingJob every three seconds, and returns how long each took to its first pod.
func (b *bench) probe(ctx context.Context) func() []time.Duration {
	b.t.Helper()
	ns := b.server.Namespace(b.t)
	var made, first moments
	b.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) { first.see(o.GetLabels()[names.TrainingJob]) })
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			j := job(ns, i, 2)
			made.see(j.Name)
			if err := b.admin.Create(ctx, j); err != nil && ctx.Err() == nil {
				b.t.Error(err)
			}
			<-time.After(3 * time.Second)
		}
	}()
	return func() []time.Duration { return first.since(&made) }
}

// cluster plays what runs batch Jobs: the controller of Jobs, a node whose pods tell a loss and end at once, and the garbage collector.
type cluster struct {
	*bench
	ns     string
	losses sync.Map // of pods, by their names
	todo   chan func(context.Context) error
	ended  moments // of trials
}

// playTrials runs every Job of a namespace.
func (b *bench) playTrials(ctx context.Context, ns string) *cluster {
	b.t.Helper()
	c := &cluster{bench: b, ns: ns, todo: make(chan func(context.Context) error, 100_000)}
	c.node(ctx)
	c.handle(ctx, ns, &v1alpha1.Trial{}, toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, o any) {
			if t := o.(*v1alpha1.Trial); condition.Decided(t, v1alpha1.ConditionSucceeded) {
				c.ended.see(t.Name)
			}
		},
		DeleteFunc: func(o any) {
			if t, ok := o.(*v1alpha1.Trial); ok {
				c.todo <- func(ctx context.Context) error { return c.collect(ctx, t.Name) }
			}
		},
	})
	c.handle(ctx, ns, &batchv1.Job{}, toolscache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
		c.todo <- func(ctx context.Context) error { return c.run(ctx, o.(*batchv1.Job).DeepCopy()) }
	}})
	for range 8 {
		go func() {
			for do := range c.todo {
				if err := do(ctx); err != nil && ctx.Err() == nil {
					b.t.Error(err)
				}
			}
		}()
	}
	return c
}

// node registers a node whose kubelet has the logs of pods and nothing else.
func (c *cluster) node(ctx context.Context) {
	c.t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		loss, _ := c.losses.Load(path.Base(path.Dir(r.URL.Path)))
		fmt.Fprintf(w, "%s loss=%v\n", time.Now().UTC().Format(time.RFC3339Nano), loss)
	}))
	c.t.Cleanup(kubelet.Close)
	at := kubelet.Listener.Addr().(*net.TCPAddr)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	if err := c.admin.Create(ctx, node); err != nil {
		c.t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: at.IP.String()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(at.Port)
	if err := c.admin.Status().Update(ctx, node); err != nil {
		c.t.Fatal(err)
	}
}

// run makes the pod of a Job, ends it, and then the Job.
func (c *cluster) run(ctx context.Context, j *batchv1.Job) error {
	x, err := strconv.ParseFloat(j.Spec.Template.Spec.Containers[0].Args[0], 64)
	if err != nil {
		return err
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.ns, Name: j.Name, Labels: j.Spec.Template.Labels}, Spec: j.Spec.Template.Spec}
	p.Spec.NodeName = "node"
	c.losses.Store(p.Name, (x-0.3)*(x-0.3))
	if err := c.admin.Create(ctx, p); err != nil {
		return err
	}
	if err := c.say(ctx, p, corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}); err != nil {
		return err
	}
	now := metav1.Now()
	j.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return c.admin.Status().Update(ctx, j)
}

// collect removes what a trial that is gone has left.
func (c *cluster) collect(ctx context.Context, name string) error {
	meta := metav1.ObjectMeta{Namespace: c.ns, Name: name}
	now := &client.DeleteOptions{GracePeriodSeconds: new(int64(0)), PropagationPolicy: new(metav1.DeletePropagationBackground)}
	return errors.Join(c.admin.Delete(ctx, &batchv1.Job{ObjectMeta: meta}, now), c.admin.Delete(ctx, &corev1.Pod{ObjectMeta: meta}, now))
}
