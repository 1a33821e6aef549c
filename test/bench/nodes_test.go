// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gpu is the resource that gangs ask for, and devices how many of it a node has and a pod of a gang takes.
const (
	gpu     = "nvidia.com/gpu"
	devices = 8
)

// schedulerUser has its rights from the API server's own roles.
const schedulerUser = "system:kube-scheduler"

// limits are the requests in a second that a scheduler may send, the seconds that a pod it found no place for waits at most, and how often
// a measurement under them is repeated.
type limits struct {
	name                       string
	qps, burst, backoff, times int
}

// schedulerConfig is that of the local cluster, but for the limits.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: %q, qps: %d, burst: %d}
podMaxBackoffSeconds: %d
`

// nodes makes nodes as the simulated ones of the local cluster, without the taint that keeps real pods away.
func (b *bench) nodes(n int) {
	b.t.Helper()
	b.parallel(n, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("simulated-%d", i)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			corev1.LabelTopologyZone: "zone-0", "topology.kubernetes.io/rack": fmt.Sprintf("rack-%d", i/8),
			"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.count": "8",
		}}}
		if err := b.admin.Create(ctx, node); err != nil {
			return err
		}
		before := node.DeepCopy()
		node.Spec.Taints = nil // one says that it is not ready, until a controller that is not there finds that it is
		if err := b.admin.Patch(ctx, node, client.MergeFrom(before)); err != nil {
			return err
		}
		before = node.DeepCopy()
		node.Status.Capacity = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("96"), corev1.ResourceMemory: resource.MustParse("768Gi"),
			corev1.ResourcePods: resource.MustParse("250"), gpu: *resource.NewQuantity(devices, resource.DecimalSI),
		}
		node.Status.Allocatable = node.Status.Capacity
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Played"}}
		return b.admin.Status().Patch(ctx, node, client.MergeFrom(before))
	})
}

// scheduler runs the real kube-scheduler, of the version that the local cluster has.
func (b *bench) scheduler(l limits, gates string) *process {
	b.t.Helper()
	var said bytes.Buffer
	find := exec.CommandContext(b.t.Context(), "go", "run", "-C", "../../hack/cluster", ".", "bin", "kube-scheduler")
	find.Stderr = &said
	program, err := find.Output()
	if err != nil {
		b.t.Fatalf("building kube-scheduler: %v\n%s", err, said.String())
	}
	kubeconfig, config := filepath.Join(b.dir, "scheduler.kubeconfig"), filepath.Join(b.dir, "scheduler.yaml")
	write(b.t, kubeconfig, string(b.server.Kubeconfig(b.t, schedulerUser)))
	write(b.t, config, fmt.Sprintf(schedulerConfig, kubeconfig, l.qps, l.burst, l.backoff))
	cmd := exec.Command(strings.TrimSpace(string(program)), "--config="+config, "--secure-port=0")
	if gates != "" {
		cmd.Args = append(cmd.Args, "--feature-gates="+gates)
	}
	return run(b.t, cmd, filepath.Join(b.dir, "scheduler.log"))
}

// kubelets are those of all nodes: a pod that has a node runs, and one that is told to go goes.
type kubelets struct {
	*bench
	slots   chan struct{}
	done    sync.Map
	running atomic.Int64
	// started and gone are told of pods, if they are there.
	started, gone func(context.Context, *corev1.Pod)
}

func (k *kubelets) play(ctx context.Context, ns string) {
	k.t.Helper()
	k.slots = make(chan struct{}, 16)
	k.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) {
		switch p := o.(*corev1.Pod).DeepCopy(); {
		case p.DeletionTimestamp != nil:
			k.once(ctx, p, "end", k.end)
		case p.Spec.NodeName != "" && p.Status.Phase == corev1.PodPending:
			k.once(ctx, p, "start", k.start)
		}
	})
}

// once does something to a pod for the first time only: its own write comes back as an event.
func (k *kubelets) once(ctx context.Context, p *corev1.Pod, what string, do func(context.Context, *corev1.Pod) error) {
	if _, done := k.done.LoadOrStore(what+string(p.UID), true); done {
		return
	}
	k.slots <- struct{}{}
	go func() {
		defer func() { <-k.slots }()
		if err := client.IgnoreNotFound(do(ctx, p)); err != nil && ctx.Err() == nil {
			k.t.Error(err)
		}
	}()
}

func (k *kubelets) start(ctx context.Context, p *corev1.Pod) error {
	if err := k.say(ctx, p, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}); err != nil {
		return err
	}
	k.running.Add(1)
	if k.started != nil {
		k.started(ctx, p)
	}
	return nil
}

func (k *kubelets) end(ctx context.Context, p *corev1.Pod) error {
	if err := k.admin.Delete(ctx, p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID}); err != nil {
		return err
	}
	if k.gone != nil {
		k.gone(ctx, p)
	}
	return nil
}
