// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// notebookImage is Debian's Jupyter with kubectl.
const notebookImage = "docker.io/millrace/notebook:dev"

// browser comes to a Jupyter server by its address, and talks to it by REST and websockets.
const browser = `
import http.cookiejar, json, sys, uuid, urllib.request, tornado.ioloop, tornado.websocket
base, text, until = sys.argv[1:]
jar = http.cookiejar.CookieJar()
client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
client.open(base + "tree").read()
token = next(c.value for c in jar if c.name == "_xsrf")
def post(path):
    return json.load(client.open(urllib.request.Request(base + path, data=b"{}", headers={"X-XSRFToken": token}, method="POST")))
def connect(path):
    return tornado.websocket.websocket_connect(base.replace("http", "ws") + path, connect_timeout=120)
`

// cell runs code in a new kernel, prints what it prints, and leaves when the kernel is in the state it is to wait for.
const cell = browser + `
kernel = post("api/kernels")
async def main():
    ws = await connect("api/kernels/" + kernel["id"] + "/channels")
    header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    content = {"code": text, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    await ws.write_message(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))
    while True:
        message = json.loads(await ws.read_message())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if message["msg_type"] == "stream":
            sys.stdout.write(message["content"]["text"])
        if message["msg_type"] == "error":
            sys.exit("\n".join(message["content"]["traceback"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == until:
            return
tornado.ioloop.IOLoop.current().run_sync(main)
`

// detached leaves a script running once it has printed 42.
const detached = `python3 -uc "$@" >/tmp/said 2>&1 &
until grep -q 42 /tmp/said; do kill -0 $! || { cat /tmp/said; exit 1; }; sleep 1; done`

// terminal types into a new terminal, and leaves when it is shown what it is to wait for.
const terminal = browser + `
name = post("api/terminals")["name"]
async def main():
    ws = await connect("terminals/websocket/" + name)
    await ws.write_message(json.dumps(["stdin", text + "\r"]))
    while until not in (await ws.read_message()):
        pass
tornado.ioloop.IOLoop.current().run_sync(main)
`

var _ = Describe("a notebook", Label("notebook"), func() {
	It("keeps its files, is resized at work, and holds other changes back until it is restarted", func(ctx SpecContext) {
		nb := lab(newNamespace(ctx), "lab")
		nb.Labels, nb.Spec.CPU = map[string]string{"store": "yes"}, new(resource.MustParse("200m"))
		create(ctx, nb)
		expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, nb, "open('kept.txt', 'w').write('here'); print(6 * 7)")).To(Equal("42"))
		before := podOf(ctx, nb)

		By("being given more cpu and memory in place")
		edit(ctx, nb, func() {
			nb.Spec.CPU, nb.Spec.Memory = new(resource.MustParse("300m")), new(resource.MustParse("600Mi"))
		})
		Eventually(func() string {
			return run(ctx, "KUBECTL", "exec", "-n", nb.Namespace, "lab-0", "--", "sh", "-c", "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes cpu.max cpu/cpu.cfs_quota_us 2>/dev/null").out
		}).Should(MatchRegexp(`^629145600\s+30000\b`), "what the kernel holds it to")
		expect(ctx, nb, v1alpha1.ConditionUpToDate, "True Current")

		By("leaving a PodDefault that comes for the next start")
		create(ctx, &v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Name: "store", Namespace: nb.Namespace}, Spec: v1alpha1.PodDefaultSpec{
			Selector: &metav1.LabelSelector{MatchLabels: nb.Labels}, Env: []corev1.EnvVar{{Name: "STORE", Value: "there"}},
		}})
		expect(ctx, nb, v1alpha1.ConditionUpToDate, "False ChangesPending: Changes wait for the next start (annotations, env); mill notebook restart lab")
		Expect(lives(*podOf(ctx, nb))).To(Equal(lives(*before)), "neither restarted it")
		Expect(run(ctx, "MILL", "notebook", "restart", "lab", "-n", nb.Namespace).code).To(BeZero())
		Eventually(func() types.UID { return podOf(ctx, nb).UID }).ShouldNot(BeElementOf(before.UID, types.UID("")))
		expect(ctx, nb, v1alpha1.ConditionUpToDate, "True")
		expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, nb, "import os; print(open('kept.txt').read(), os.environ['STORE'])")).To(Equal("here there"))
	})

	It("is stopped when it is idle, but not while a kernel, a terminal or a browser is at work", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		used := map[string][]string{
			"kernel":   {cell, "import time; time.sleep(3600)", "busy"},
			"terminal": {terminal, "echo off-$((1+1)); sleep 3600", "off-2"},
			"browser":  {cell, "print(6 * 7)", "never"},
		}
		notebooks := map[string]*v1alpha1.Notebook{}
		for name := range used {
			notebooks[name] = lab(namespace, name)
			create(ctx, notebooks[name])
		}
		for name, script := range used {
			expect(ctx, notebooks[name], v1alpha1.ConditionReady, "True Serving")
			start := []string{"python3", "-c"}
			if name == "browser" {
				start = []string{"sh", "-c", detached, "sh"}
			}
			said := run(ctx, "KUBECTL", slices.Concat([]string{"exec", "-n", namespace, name + "-0", "--"}, start, script[:1], []string{address(notebooks[name])}, script[1:])...)
			Expect(said.code).To(BeZero(), said.out+said.err)
		}
		lived := livesIn(ctx, namespace)
		idle := lab(namespace, "idle") // the last to start is the last whose time comes
		create(ctx, idle)
		expect(ctx, idle, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, idle, "open('kept.txt', 'w').write('here')")).To(BeEmpty())

		expect(ctx, idle, v1alpha1.ConditionReady, "True Stopped: The notebook is stopped. It was idle for longer than its culling policy allows (2")
		expect(ctx, idle, v1alpha1.ConditionStopped, "True Idle")
		Expect(run(ctx, "MILL", "notebook", "start", "idle", "-n", namespace).code).To(BeZero())
		expect(ctx, idle, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, idle, "print(open('kept.txt').read())")).To(Equal("here"))
		for name, nb := range notebooks {
			expect(ctx, nb, v1alpha1.ConditionActivityKnown, "True Answered")
			Expect(condition(ctx, nb, v1alpha1.ConditionStopped)()).To(HavePrefix("False NotStopped"), name)
		}
		after := livesIn(ctx, namespace)
		delete(after, "idle-0")
		Expect(after).To(Equal(lived))
	}, SpecTimeout(6*time.Minute))

	It("leaves its volume behind when it is deleted, but none that no server ever had", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		kept, never := lab(namespace, "kept"), lab(namespace, "never")
		never.Spec.Image = "registry.invalid/no-such:image"
		create(ctx, kept, never)
		expect(ctx, never, v1alpha1.ConditionReady, "False PodCannotStart")
		expect(ctx, kept, v1alpha1.ConditionReady, "True Serving")
		claims := func() (found []string) {
			var list corev1.PersistentVolumeClaimList
			Expect(cluster.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
			for i := range list.Items {
				found = append(found, list.Items[i].Name)
			}
			return found
		}
		Expect(claims()).To(ConsistOf("workspace-kept-0", "workspace-never-0"))
		for _, nb := range []*v1alpha1.Notebook{kept, never} {
			Expect(cluster.Delete(ctx, nb, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
		}
		for _, nb := range []*v1alpha1.Notebook{kept, never} {
			Eventually(func() error { return cluster.Get(ctx, client.ObjectKeyFromObject(nb), nb) }).ShouldNot(Succeed())
		}
		Eventually(claims).Should(ConsistOf("workspace-kept-0"))
	})
})

// lab is a small notebook with a workspace that may be idle for a minute.
func lab(namespace, name string) *v1alpha1.Notebook {
	return &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: v1alpha1.NotebookSpec{
		Image: notebookImage, Memory: new(resource.MustParse("512Mi")),
		Workspace: &v1alpha1.Workspace{Size: new(resource.MustParse("100Mi"))},
		Culling:   &v1alpha1.Culling{IdleMinutes: new(int32(1))},
	}}
}

// address is where a notebook's server is in the cluster.
func address(nb *v1alpha1.Notebook) string {
	return fmt.Sprintf("http://%[1]s.%[2]s.svc/notebook/%[2]s/%[1]s/", nb.Name, nb.Namespace)
}

// inCell runs code in a new kernel of a notebook, and returns what it prints. Options say who asks kubectl.
func inCell(ctx context.Context, nb *v1alpha1.Notebook, code string, options ...string) string {
	GinkgoHelper()
	got := run(ctx, "KUBECTL", append(options, "exec", "-n", nb.Namespace, nb.Name+"-0", "--", "python3", "-c", cell, address(nb), code, "idle")...)
	Expect(got.code).To(BeZero(), got.err)
	return strings.TrimSpace(got.out)
}

// podOf is the pod of a notebook; empty when there is none.
func podOf(ctx context.Context, nb *v1alpha1.Notebook) *corev1.Pod {
	GinkgoHelper()
	p := &corev1.Pod{}
	Expect(client.IgnoreNotFound(cluster.Get(ctx, client.ObjectKey{Namespace: nb.Namespace, Name: nb.Name + "-0"}, p))).To(Succeed())
	return p
}

// edit patches a notebook.
func edit(ctx context.Context, nb *v1alpha1.Notebook, change func()) {
	GinkgoHelper()
	before := nb.DeepCopy()
	change()
	Expect(cluster.Patch(ctx, nb, client.MergeFrom(before))).To(Succeed())
}
