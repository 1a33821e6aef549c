// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bench compares the rate at which the manager creates pods with that of a plain client. It prints; it asserts
// no time.
package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

func TestPodRate(t *testing.T) {
	server := envtest.Start(t)
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	admin := server.Client(t, scheme)
	grant(t, admin)
	managed, requests := envtest.Counted(server.User(t, "bench-manager", "bench"))
	cfg := config.Default()
	cfg.LeaderElection.Enabled, cfg.Metrics.BindAddress, cfg.Health.BindAddress = false, "", ""
	options := cfg.Manager(controllers.CacheOptions())
	options.Scheme = scheme
	mgr, err := ctrl.NewManager(managed, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := controllers.Setup(t.Context(), mgr, controllers.Options{}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = mgr.Start(t.Context()) }()
	if !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the caches were not filled")
	}
	plain, err := client.New(server.User(t, "bench-plain", "bench"), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct{ jobs, pods int }{{250, 4}, {1, 500}} {
		requests.Reset()
		ns := server.Namespace(t)
		began := time.Now()
		parallel(t, s.jobs, func(ctx context.Context, i int) error { return admin.Create(ctx, job(ns, i, s.pods)) })
		made := time.Since(began)
		ours := settle(t, admin, ns, s.jobs*s.pods).Sub(began)
		total := requests.Total()
		like := &corev1.PodList{}
		if err := admin.List(t.Context(), like, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		other := server.Namespace(t)
		began = time.Now()
		parallel(t, len(like.Items), func(ctx context.Context, i int) error {
			p := like.Items[i]
			p.ObjectMeta = metav1.ObjectMeta{Name: p.Name, Namespace: other, Labels: p.Labels}
			return plain.Create(ctx, &p)
		})
		theirs := settle(t, admin, other, s.jobs*s.pods).Sub(began)
		n := float64(s.jobs * s.pods)
		t.Logf("%d jobs of %d: %.0f pods/s, plain %.0f pods/s, ratio %.2f; the jobs themselves took %s to create; requests %v",
			s.jobs, s.pods, n/ours.Seconds(), n/theirs.Seconds(), theirs.Seconds()/ours.Seconds(), made.Round(time.Millisecond), total)
	}
}

func settle(t *testing.T, c client.Client, ns string, n int) time.Time {
	for range time.Tick(50 * time.Millisecond) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := c.List(t.Context(), list, client.InNamespace(ns), client.Limit(1)); err != nil {
			t.Fatal(err)
		}
		if left := list.RemainingItemCount; left != nil && int(*left) >= n-1 {
			break
		}
	}
	return time.Now()
}

func parallel(t *testing.T, n int, do func(context.Context, int) error) {
	slots, wg := make(chan struct{}, 32), sync.WaitGroup{}
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			if err := do(t.Context(), i); err != nil {
				t.Error(err)
			}
			<-slots
		})
	}
	wg.Wait()
}

func job(ns string, i, pods int) *v1alpha1.TrainingJob {
	j := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("job-%d", i)}}
	j.Spec.Framework = v1alpha1.PyTorch
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
	_ = yaml.Unmarshal([]byte(fmt.Sprintf("spec: {roles: [{name: Master}, {name: Worker, replicas: %d}]}", pods-1)), j)
	for k := range j.Spec.Roles {
		j.Spec.Roles[k].Template = template
	}
	return j
}

func grant(t *testing.T, c client.Client) {
	data, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(data, role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "bench"}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}
