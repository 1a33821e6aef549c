// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package extended

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gpu is the resource that pods are counted by.
const gpu = "example.com/gpu"

// dying is how long a pod takes to end: another that is made before would show in the count.
const dying = 300 * time.Millisecond

// kubelet plays scheduler and kubelet of all pods of a cluster, and counts the devices they hold in the order of the API server's own events.
type kubelet struct {
	admin client.WithWatch
	limit int64
	// in are the namespaces that share the limit.
	in []string

	mu    sync.Mutex
	held  map[string]int64
	most  int64
	wrong []string
}

// playKubelet runs until the spec is over. More devices than limit, held in the namespaces, are a violation.
func (c *cluster) playKubelet(limit int64, namespaces ...string) *kubelet {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	k := &kubelet{admin: c.admin, limit: limit, in: namespaces, held: map[string]int64{}}
	events, err := c.admin.Watch(ctx, &corev1.PodList{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		cancel()
		events.Stop()
	})
	go func() {
		defer GinkgoRecover()
		for event := range events.ResultChan() {
			if p, ok := event.Object.(*corev1.Pod); ok {
				k.count(p, event.Type)
				go k.act(ctx, p, event.Type)
			}
		}
	}()
	return k
}

func (k *kubelet) count(p *corev1.Pod, event watch.EventType) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := p.Namespace + "/" + p.Name
	if !slices.Contains(k.in, p.Namespace) {
		return
	}
	if event == watch.Deleted || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		delete(k.held, key)
		return
	}
	for _, c := range p.Spec.Containers {
		k.held[key] = c.Resources.Limits.Name(gpu, "").Value()
	}
	sum := int64(0)
	for _, n := range k.held {
		sum += n
	}
	k.most = max(k.most, sum)
	if sum > k.limit {
		k.wrong = append(k.wrong, fmt.Sprintf("%d devices held with %s", sum, key))
	}
}

// act takes the next step in the life of a pod. A conflict means that a newer event is under way.
func (k *kubelet) act(ctx context.Context, p *corev1.Pod, event watch.EventType) {
	switch {
	case event == watch.Deleted:
	case p.Spec.NodeName == "":
		node := cmp.Or(p.Spec.NodeSelector[corev1.LabelHostname], "node-1")
		_ = k.admin.SubResource("binding").Create(ctx, p, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}})
	case p.DeletionTimestamp != nil:
		timer := time.NewTimer(dying)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = k.admin.Delete(ctx, p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID})
		case <-ctx.Done():
		}
	case p.Status.Phase == corev1.PodPending:
		_ = setPhase(ctx, k.admin, p, corev1.PodRunning)
	}
}

func setPhase(ctx context.Context, admin client.Client, p *corev1.Pod, phase corev1.PodPhase) error {
	p = p.DeepCopy()
	p.Status.Phase = phase
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	return admin.Status().Update(ctx, p)
}

// violations are the moments at which more devices were held than there is quota.
func (k *kubelet) violations() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wrong
}

// peak is the largest number of devices that were held at once.
func (k *kubelet) peak() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.most
}
