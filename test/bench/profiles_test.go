// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// The Profiles of the bench, and how long they may take on two cores.
const (
	profiles        = 2000
	profilesAllowed = 5 * time.Minute
)

// TestProfiles makes Profiles with members and a quota, times until all are Ready, and listens whether they cost anything at rest.
func TestProfiles(t *testing.T) {
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var ready atomic.Int32
	seen := map[string]bool{}
	b.watch(ctx, "", &v1alpha1.Profile{}, func(o client.Object) {
		p := o.(*v1alpha1.Profile)
		if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady) && !seen[p.Name] {
			seen[p.Name] = true
			ready.Add(1)
		}
	})
	before, began := b.manager.cpu(), time.Now()
	b.parallel(profiles, func(ctx context.Context, i int) error {
		p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", i)}}
		p.Spec.Owner = v1alpha1.Subject{Kind: v1alpha1.User, Name: fmt.Sprintf("owner-%d@example.com", i)}
		for k := range 5 {
			p.Spec.Members = append(p.Spec.Members, v1alpha1.Member{Subject: v1alpha1.Subject{Name: fmt.Sprintf("member-%d@example.com", k)}, Role: v1alpha1.RoleEditor})
		}
		p.Spec.ResourceQuota = &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("100")}}
		return b.admin.Create(ctx, p)
	})
	for ready.Load() < profiles && time.Since(began) < profilesAllowed {
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	table := newTable("Profiles", "all Ready after", "Profiles/s", "CPU of the manager", "RSS")
	table.row(ready.Load(), took.Round(100*time.Millisecond), fmt.Sprintf("%.0f", float64(ready.Load())/took.Seconds()),
		(b.manager.cpu() - before).Round(10*time.Millisecond), fmt.Sprintf("%d MiB", b.manager.rss()>>20))
	t.Log("Profiles with 5 members and a quota\n" + table.String())
	if ready.Load() < profiles {
		t.Fatalf("%d of %d Profiles are Ready after %s", ready.Load(), profiles, took)
	}
	if asked := b.idle(); len(asked) > 0 {
		t.Errorf("idle for %s beside %d Profiles the manager asked for %v", idleFor, profiles, asked)
	}
}
