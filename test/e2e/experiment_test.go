// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// search is an Experiment of batch Jobs that run a line of Python with the parameter x.
const search = `
apiVersion: millrace.dev/v1alpha1
kind: Experiment
metadata: {name: curve}
spec:
  objectives: [{metric: loss, direction: Minimize}]
  algorithm: {name: BayesianOptimization, settings: [{name: n_initial_points, value: "2"}]}
  parallelTrials: 1
  maxTrials: %d
  maxFailedTrials: 0
  seed: 7
  parameters: [{name: x, type: Double, min: "-4", max: "4"}]
  metricsCollector: %s
  trialTemplate:
    job:
      apiVersion: batch/v1
      kind: Job
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 1
            containers:
              - name: main
                image: ` + image + `
                imagePullPolicy: IfNotPresent
                resources: {requests: {cpu: 10m, memory: 20Mi}}
                command: [python3, -c]
                args:
                  - |
                    loss = (${trialParameters.x} - 1) ** 2
%s
`

// tellings are the ways for a trial to tell its loss, by collector.
var tellings = map[string][2]string{
	"its log": {"{kind: StdOut}", `
                    print("loss=%g" % loss)`},
	"a file of lines of JSON": {"{kind: File, format: JSON, path: /tmp/out/metrics.jsonl}", `
                    import json, os
                    os.makedirs("/tmp/out", exist_ok=True)
                    print(json.dumps({"loss": loss}), file=open("/tmp/out/metrics.jsonl", "a"))`},
	"an endpoint of Prometheus": {"{kind: Prometheus, port: 8080}", `
                    import http.server, threading
                    class Page(http.server.BaseHTTPRequestHandler):
                        def do_GET(self):
                            self.send_response(200); self.end_headers(); self.wfile.write(b"loss %g\n" % loss)
                            threading.Timer(3, server.shutdown).start()
                    server = http.server.HTTPServer(("", 8080), Page)
                    server.serve_forever()`},
	"pushing it": {"{kind: Push}", `
                    import json, os, ssl, urllib.request
                    tls = ssl.create_default_context(cafile=os.environ["MILLRACE_METRICS_CA_FILE"])
                    head = {"Authorization": "Bearer " + open(os.environ["MILLRACE_METRICS_TOKEN_FILE"]).read()}
                    body = json.dumps({"loss": loss}).encode()
                    urllib.request.urlopen(urllib.request.Request(os.environ["MILLRACE_METRICS_URL"], body, head), context=tls)`},
}

// experiment is the one that a manifest describes.
func experiment(namespace, manifest string) *v1alpha1.Experiment {
	GinkgoHelper()
	e := &v1alpha1.Experiment{}
	Expect(yaml.UnmarshalStrict([]byte(manifest), e)).To(Succeed())
	e.Namespace = namespace
	return e
}

// trials are the Trials of an Experiment by name.
func trials(ctx context.Context, e *v1alpha1.Experiment) map[string]v1alpha1.Trial {
	GinkgoHelper()
	var list v1alpha1.TrialList
	Expect(cluster.List(ctx, &list, client.InNamespace(e.Namespace), client.MatchingLabels{names.Experiment: e.Name})).To(Succeed())
	found := map[string]v1alpha1.Trial{}
	for _, t := range list.Items {
		found[t.Name] = t
	}
	return found
}

// proposed is the parameters of each Trial of an Experiment.
func proposed(ctx context.Context, e *v1alpha1.Experiment) map[string][]v1alpha1.Assignment {
	GinkgoHelper()
	found := map[string][]v1alpha1.Assignment{}
	for name, t := range trials(ctx, e) {
		found[name] = t.Spec.Assignments
	}
	return found
}

var _ = Describe("a search", Label("experiment"), func() {
	for how, telling := range tellings {
		It("learns of a loss by "+how, func(ctx SpecContext) {
			e := experiment(newNamespace(ctx), fmt.Sprintf(search, 1, telling[0], telling[1]))
			create(ctx, e)
			expect(ctx, e, v1alpha1.ConditionSucceeded, "True ")
			x, err := strconv.ParseFloat(*e.Status.Best.Assignments[0].Value, 64)
			Expect(err).NotTo(HaveOccurred())
			loss, err := strconv.ParseFloat(e.Status.Best.Metrics[0].Value, 64)
			Expect(err).NotTo(HaveOccurred())
			Expect(loss).To(BeNumerically("~", (x-1)*(x-1), 1e-4))
		})
	}

	It("proposes the same whether its manager is killed or not", Serial, func(ctx SpecContext) {
		telling := tellings["its log"]
		const all = 6
		undisturbed := experiment(newNamespace(ctx), fmt.Sprintf(search, all, telling[0], telling[1]))
		create(ctx, undisturbed)
		expect(ctx, undisturbed, v1alpha1.ConditionSucceeded, "True ")
		killed := experiment(newNamespace(ctx), fmt.Sprintf(search, all, telling[0], telling[1]))
		create(ctx, killed)
		for _, n := range []int{1, 3, 5} {
			Eventually(func() int { return len(trials(ctx, killed)) }).Should(BeNumerically(">=", n))
			killManagers(ctx)
		}
		expect(ctx, killed, v1alpha1.ConditionSucceeded, "True ")
		Expect(proposed(ctx, killed)).To(Equal(proposed(ctx, undisturbed)))
		Expect(proposed(ctx, killed)).To(HaveLen(all))
	})

	It("finds parameters of the digits' net at least as good as the sample's, by trainings of two pods, with its manager killed", Serial, func(ctx SpecContext) {
		manifest, err := os.ReadFile("../../config/samples/experiment-digits.yaml")
		Expect(err).NotTo(HaveOccurred())
		e := experiment(newNamespace(ctx), string(manifest))
		e.Spec.MaxTrials = 6
		e.Spec.Objectives[0].Goal = ""
		create(ctx, e)
		Eventually(func() int { return len(trials(ctx, e)) }).Should(BeNumerically(">=", 3))
		killManagers(ctx)
		expect(ctx, e, v1alpha1.ConditionSucceeded, "True ")
		Expect(trials(ctx, e)).To(HaveLen(6))
		best, err := strconv.ParseFloat(e.Status.Best.Metrics[0].Value, 64)
		Expect(err).NotTo(HaveOccurred())
		Expect(best).To(BeNumerically(">=", 0.98))
		table := run(ctx, "MILL", "experiment", e.Name, "-n", e.Namespace)
		Expect(table.code).To(BeZero(), table.err)
		Expect(table.out).To(ContainSubstring(e.Status.Best.Trial))
	})
})
