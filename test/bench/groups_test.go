// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
)

// TestGangsOfOthers counts what a job costs the manager with the schedulers that are not built here: their kinds are real, what they do is
// played. A group is let out of its queue, and every pod gets a node.
func TestGangsOfOthers(t *testing.T) {
	b := newBenchWith(t, nil, managerUser)
	b.server.InstallCRDs(t, "../../controllers/trainingjob/testdata/crds")
	table := newTable("gang by", "manager's for each job")
	for _, by := range []v1alpha1.GangScheduler{v1alpha1.GangVolcano, v1alpha1.GangKAI, v1alpha1.GangCoscheduling} {
		table.row(by, b.playedGangs(by))
	}
	t.Logf("%s until all run\n%s", gangs, table)
}

func (b *bench) playedGangs(scheduler v1alpha1.GangScheduler) string {
	b.t.Helper()
	since := b.settle(3)
	ns := b.server.Namespace(b.t)
	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	nodes := &kubelets{bench: b}
	nodes.play(ctx, ns)
	binding := &kubelets{bench: b, slots: make(chan struct{}, 16)}
	b.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) {
		if o.(*corev1.Pod).Spec.NodeName == "" {
			binding.once(ctx, o.(*corev1.Pod).DeepCopy(), "bind", b.bind)
		}
	})
	b.parallel(gangs.jobs, func(ctx context.Context, i int) error { return b.admin.Create(ctx, gangJob(ns, i, scheduler)) })
	row, _ := gang.Find(scheduler)
	b.admit(ns, row)
	b.until(func() bool { return nodes.running.Load() == int64(gangs.jobs*gangs.pods) })
	b.settle(3)
	asked, _ := b.requests(since)
	return perJob(by(asked, managerUser), gangs.jobs)
}

func (b *bench) bind(ctx context.Context, p *corev1.Pod) error {
	return b.admin.SubResource("binding").Create(ctx, p, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-" + p.Name}})
}

// admit lets groups out of their queues, where pods wait for that. There must be one for each job.
func (b *bench) admit(ns string, row gang.Row) {
	b.t.Helper()
	groups := &unstructured.UnstructuredList{}
	groups.SetGroupVersionKind(row.Kind.GroupVersion().WithKind(row.Kind.Kind + "List"))
	b.until(func() bool {
		if err := b.admin.List(b.t.Context(), groups, client.InNamespace(ns)); err != nil {
			b.t.Fatal(err)
		}
		return len(groups.Items) == gangs.jobs
	})
	if row.Admitted == nil {
		return
	}
	b.parallel(len(groups.Items), func(ctx context.Context, i int) error {
		group := &groups.Items[i]
		row.Admitted(group)
		return b.admin.Update(ctx, group)
	})
}
