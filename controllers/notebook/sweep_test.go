// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/activity"
)

// BenchmarkSweep is one round over 1,000 Jupyter servers that each take 20 ms for an answer, as the manager asks by default.
func BenchmarkSweep(b *testing.B) {
	const notebooks = 1000
	var questions atomic.Int64
	jupyter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		questions.Add(1)
		<-time.After(20 * time.Millisecond)
		if _, err := fmt.Fprint(w, map[bool]string{true: `{"last_activity":"2026-01-01T11:00:00Z"}`, false: `[]`}[r.URL.Path[len(r.URL.Path)-6:] == "status"]); err != nil {
			b.Error(err)
		}
	}))
	defer jupyter.Close()
	asking := activity.NewClient(5*time.Second, "")
	asking.HTTP.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, jupyter.Listener.Addr().String())
	}
	r := newRounds(&testing.T{}, nil)
	r.asker, r.Parallel = asking, 64
	r.reader = many(r, notebooks)
	b.ResetTimer()
	for range b.N {
		r.sweep(b.Context())
	}
	b.StopTimer()
	if got := questions.Load(); got != int64(3*notebooks*b.N) {
		b.Errorf("%d questions, want %d", got, 3*notebooks*b.N)
	}
}

// many is a cache with so many notebooks that are up.
func many(r *rounds, n int) client.Reader {
	pod := podInShort{Ready: true}.pod(look(r.nb, World{}, noon))
	return interceptor.NewClient(r.reader.(client.WithWatch), interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			all := list.(*v1alpha1.NotebookList)
			for i := range n {
				nb := r.nb.DeepCopy()
				nb.Name = fmt.Sprintf("lab-%d", i)
				all.Items = append(all.Items, *nb)
			}
			return nil
		},
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			pod.DeepCopyInto(o.(*corev1.Pod))
			o.SetName(key.Name)
			o.SetLabels(map[string]string{"millrace.dev/notebook": key.Name[:len(key.Name)-2]})
			return nil
		},
	})
}
