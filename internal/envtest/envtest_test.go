// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

func TestCounterSeesEverythingButLeasesAndWatches(t *testing.T) {
	server := envtest.Start(t)
	namespace := server.Namespace(t)
	config, requests := server.Counted()
	c, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}}
	for _, o := range []client.Object{cm, lease} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	requests.Reset() // the first use of a kind looks it up
	watch, err := c.Watch(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	for _, err := range []error{
		c.List(t.Context(), &corev1.ConfigMapList{}),
		c.Update(t.Context(), lease),
		c.Update(t.Context(), cm),
		c.Delete(t.Context(), cm),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []envtest.Request{
		{Verb: "list", Resource: "configmaps"},
		{Verb: "update", Resource: "configmaps", Namespace: namespace, Name: "x"},
		{Verb: "delete", Resource: "configmaps", Namespace: namespace, Name: "x"},
	}
	if diff := cmp.Diff(want, requests.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"list configmaps": 1, "update configmaps": 1, "delete configmaps": 1}, requests.Total()); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
}
