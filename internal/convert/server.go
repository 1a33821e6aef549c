// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/internal/names"
)

// items are those of a list, or of a map in the order of its keys, as the spawner takes either; one value is an item.
func items(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	case map[string]any:
		var list []any
		for _, key := range keys(v) {
			list = append(list, v[key])
		}
		return list
	}
	return []any{value}
}

// server is a spawner on its way to a Notebook.
type server struct {
	*fields
	hub            *hub
	pod, container map[string]any
	// home is the volume with the files of its person.
	home map[string]any
}

// Traits that are fields of a pod or of its container.
var (
	ofPod = map[string]string{
		"node_selector": "nodeSelector", "service_account": "serviceAccountName", "automount_service_account_token": "automountServiceAccountToken",
		"priority_class_name": "priorityClassName", "scheduler_name": "schedulerName",
	}
	listsOfPod  = map[string]string{"tolerations": "tolerations", "init_containers": "initContainers"}
	ofContainer = map[string]string{"image_pull_policy": "imagePullPolicy", "working_dir": "workingDir", "lifecycle_hooks": "lifecycle"}
	affinities  = map[string][3]string{
		"node_affinity_required":      {"nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"},
		"node_affinity_preferred":     {"nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"},
		"pod_affinity_required":       {"podAffinity", "requiredDuringSchedulingIgnoredDuringExecution"},
		"pod_affinity_preferred":      {"podAffinity", "preferredDuringSchedulingIgnoredDuringExecution"},
		"pod_anti_affinity_required":  {"podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"},
		"pod_anti_affinity_preferred": {"podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution"},
	}
	security = map[string]string{"uid": "runAsUser", "gid": "runAsGroup", "privileged": "privileged", "allow_privilege_escalation": "allowPrivilegeEscalation"}
	groups   = map[string]string{"fs_gid": "fsGroup", "supplemental_gids": "supplementalGroups"}
)

// unlike are traits without a counterpart, and why.
var unlike = map[string]string{
	"cloud_metadata": "what may be reached from a pod is a network policy's to say",
	"extra_files":    "make a ConfigMap or Secret of them, and mount it",
	"network_policy": "a Profile has network policies (docs/profile.md)",
	"network_tools":  "what may be reached from a pod is a network policy's to say",
}

// aimless are traits about the hub's own work.
var aimless = []string{"start_timeout", "http_timeout", "events", "events_enabled", "storage_pvc_ensure", "delete_pvc", "port", "namespace", "pod_name_template"}

func (s *server) template() map[string]any {
	s.drop(aimless...)
	for _, key := range keys(unlike) {
		s.lose(key, "%s", unlike[key])
	}
	if s.container["image"] = s.text("image"); s.container["image"] == "" {
		s.container["image"] = "quay.io/jupyter/base-notebook:latest"
		s.lost("singleuser.image", "the image was the chart's or the spawner's own: %s stands for it", s.container["image"])
	}
	carry(s.fields, s.container, ofContainer)
	carry(s.fields, s.pod, ofPod)
	for key, name := range listsOfPod {
		put(s.pod, name, camel(items(s.take(key))))
	}
	if hooks := s.container["lifecycle"]; hooks != nil {
		s.container["lifecycle"] = camel(hooks)
	}
	put(s.container, "env", s.environment())
	put(s.container, "resources", s.resources())
	s.affinity()
	s.secure()
	s.volumes()
	s.command() // whose paths may begin with the home of the volumes
	s.pod["containers"] = append([]any{s.container}, items(camel(s.take("extra_containers")))...)
	put(s.pod, "imagePullSecrets", s.pullSecrets())
	mergeInto(s.pod, camel(s.take("extra_pod_config")))
	mergeInto(s.container, camel(s.take("extra_container_config")))
	metadata := map[string]any{}
	put(metadata, "labels", s.plain("extra_labels"))
	put(metadata, "annotations", s.plain("extra_annotations"))
	template := map[string]any{"spec": s.pod}
	put(template, "metadata", metadata)
	(&conversion{log: s.log}).prune(template, "spec.template")
	s.unfilled(template)
	return template
}

// command starts the server that the hub's image has, below the path of the notebook. The entry point of the image stays.
func (s *server) command() {
	cmd, said := s.left["cmd"]
	args, _ := s.take("args").([]any)
	s.drop("cmd")
	if said && cmd == "" {
		s.note(s.at("cmd"), "the image's own command starts: it must listen on port 8888 below the path in NB_PREFIX")
		return
	}
	if text := strings.Join(texts(cmd), " "); text != "" && text != "jupyterhub-singleuser" {
		s.lost(s.at("cmd"), "%s starts a server of a hub: jupyter lab is started instead", text)
	}
	start := []any{
		"jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--ServerApp.base_url=$(NB_PREFIX)/",
		"--ServerApp.token=", "--ServerApp.password=", "--ServerApp.allow_remote_access=True",
	}
	for key, flag := range map[string]string{"default_url": "--ServerApp.default_url=", "notebook_dir": "--ServerApp.root_dir="} {
		if value := s.text(key); value != "" {
			if value == "~" || strings.HasPrefix(value, "~/") {
				value = number(cmp.Or(s.home["mountPath"], any(homePath))) + value[1:]
			}
			start = append(start, flag+value)
		}
	}
	slices.SortFunc(start[9:], func(a, b any) int { return cmp.Compare(number(a), number(b)) })
	s.container["args"] = append(start, args...)
}

func texts(value any) []string {
	var all []string
	for _, one := range items(value) {
		all = append(all, number(one))
	}
	return all
}

// environment are the variables; those that name others come after them.
func (s *server) environment() []any {
	var list []any
	content := s.plain("environment")
	for _, name := range keys(content) {
		variable, ok := camel(content[name]).(map[string]any)
		if !ok {
			variable = map[string]any{"value": number(content[name])}
		}
		if variable["name"] == nil {
			variable["name"] = name
		}
		if content[name] != nil {
			list = append(list, variable)
		}
	}
	refers := func(one any) int {
		variable, _ := one.(map[string]any)
		return strings.Count(number(variable["value"]), "$(")
	}
	slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(refers(a), refers(b)) })
	return list
}

// resources are what is asked for and allowed. The sizes of JupyterHub are of 1024: its 2G is 2Gi.
func (s *server) resources() map[string]any {
	requests, limits := map[string]any{}, map[string]any{}
	for key, into := range map[string]map[string]any{"cpu_limit": limits, "cpu_guarantee": requests} {
		if value := s.take(key); value != nil && number(value) != "0" {
			into["cpu"] = number(value)
		}
	}
	for key, into := range map[string]map[string]any{"mem_limit": limits, "mem_guarantee": requests} {
		if value := s.take(key); value != nil && number(value) != "0" {
			into["memory"] = bytesOf(number(value))
		}
	}
	if devices := s.plain("extra_resource_limits"); len(devices) > 0 {
		s.note(s.at("extra_resource_limits"), "where the cluster has an Accelerator (mill accelerators discover), spec.accelerator can stand for it, its node selector and its tolerations")
		mergeInto(limits, devices)
	}
	mergeInto(requests, s.plain("extra_resource_guarantees"))
	all := map[string]any{}
	put(all, "requests", requests)
	put(all, "limits", limits)
	return all
}

var size = regexp.MustCompile(`^([0-9.]+)([KMGT]?)$`)

// bytesOf is a size of JupyterHub as a quantity; what is no such size stays as it is.
func bytesOf(text string) string {
	found := size.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	amount, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return text
	}
	for range strings.Index("KMGT", found[2]) + min(len(found[2]), 1) {
		amount *= 1024
	}
	return resource.NewQuantity(int64(amount), resource.BinarySI).String()
}

func (s *server) affinity() {
	all := map[string]any{}
	for _, key := range keys(affinities) {
		terms := items(camel(s.take(key)))
		if len(terms) == 0 {
			continue
		}
		path, content := affinities[key], any(terms)
		if path[2] != "" {
			content = map[string]any{path[2]: terms}
		}
		mergeInto(all, map[string]any{path[0]: map[string]any{path[1]: content}})
	}
	put(s.pod, "affinity", all)
}

func (s *server) secure() {
	container, pod := map[string]any{"allowPrivilegeEscalation": false}, map[string]any{}
	carry(s.fields, container, security)
	carry(s.fields, pod, groups)
	mergeInto(container, camel(s.take("container_security_context")))
	mergeInto(pod, camel(s.take("pod_security_context")))
	put(s.container, "securityContext", container)
	put(s.pod, "securityContext", pod)
}

func (s *server) pullSecrets() []any {
	var list []any
	for _, one := range items(s.take("image_pull_secrets")) {
		if text, ok := one.(string); ok {
			one = map[string]any{"name": text}
		}
		list = append(list, one)
	}
	return list
}

// filled is what JupyterHub fills in for each person.
var filled = regexp.MustCompile(`\{(un|safe_|escaped_|unescaped_)?(username|servername|user_server|userid|pod_name|pvc_name|namespace|hubnamespace)[^{}]*\}`)

// volumes takes over the volumes. The claim that the hub makes for each person becomes the one of the notebooks' workspaces.
func (s *server) volumes() {
	mounts, _ := camel(items(s.take("volume_mounts"))).([]any)
	var kept []any
	for _, one := range items(camel(items(s.take("volumes")))) {
		volume, _ := one.(map[string]any)
		source, _ := volume["persistentVolumeClaim"].(map[string]any)
		claim := number(source["claimName"])
		if source == nil || !filled.MatchString(claim) {
			kept = append(kept, one)
			continue
		}
		i := slices.IndexFunc(mounts, called(number(volume["name"])))
		if s.home != nil || i < 0 {
			s.lost(s.at("volumes"), "%s is a claim of each person: add it to spec.volumes", claim)
			s.lost(s.at("volume_mounts"), "%s is a claim of each person: add it to spec.volumes", claim)
			mounts = slices.DeleteFunc(mounts, called(number(volume["name"])))
			continue
		}
		mount, _ := mounts[i].(map[string]any)
		s.home = map[string]any{"claimName": "home", "mountPath": mount["mountPath"]}
		mounts = slices.Delete(mounts, i, i+1)
		if len(mount) > 2 {
			s.lost(s.at("volume_mounts"), "the home is mounted whole and writable, at %s", mount["mountPath"])
		}
		for _, other := range mounts {
			if called(number(volume["name"]))(other) {
				other.(map[string]any)["name"] = names.Workspace
			}
		}
		s.claim(claim)
	}
	put(s.pod, "volumes", kept)
	put(s.container, "volumeMounts", mounts)
	s.drop("pvc_name_template", "storage_capacity", "storage_class", "storage_access_modes", "storage_extra_labels")
}

// claim makes the claim that the notebooks of a person share, as the servers of a hub do.
func (s *server) claim(original string) {
	spec := map[string]any{"accessModes": cmp.Or(s.take("storage_access_modes"), any([]any{"ReadWriteOnce"}))}
	spec["resources"] = map[string]any{"requests": map[string]any{"storage": number(cmp.Or(s.take("storage_capacity"), any("10Gi")))}}
	put(spec, "storageClassName", s.text("storage_class"))
	metadata := map[string]any{"name": "home"}
	put(metadata, "labels", s.plain("storage_extra_labels"))
	s.note(s.at("volumes"), "the claim home is new and empty, and all notebooks of a namespace share it, as servers share %s: "+
		"to keep the files, give it the volumeName of that claim's volume once the hub is gone", original)
	made, before := map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}, s.hub.home
	if before == nil {
		before = made
	}
	if was, is := storageOf(before), storageOf(made); is.Cmp(was) > 0 {
		before, made = made, before
	}
	if !reflect.DeepEqual(before, made) {
		kept, left := storageOf(before), storageOf(made)
		s.note(s.at("storage_capacity"), "all notebooks of a namespace share one home, the largest of the profiles: it has %s, and another asks for %s", &kept, &left)
	}
	s.hub.home = before
}

// storageOf is how much a claim asks for; nothing where that is no quantity.
func storageOf(claim map[string]any) resource.Quantity {
	text, _, _ := unstructured.NestedString(claim, "spec", "resources", "requests", "storage")
	amount, err := resource.ParseQuantity(text)
	if err != nil {
		return resource.Quantity{}
	}
	return amount
}

// unfilled tells of what only a hub fills in.
func (s *server) unfilled(template map[string]any) {
	text, err := json.Marshal(template)
	if err != nil {
		return
	}
	for _, found := range filled.FindAll(text, -1) {
		s.lost("spec.template", "%s is filled in by a hub for each person: write the value", found)
	}
}

// labelled are maps whose keys are the user's.
var labelled = []string{"matchLabels", "labels", "annotations", "limits", "requests", "nodeSelector", "volumeAttributes", "options"}

var word = regexp.MustCompile(`_[a-z]`)

// camel writes the names of fields as Kubernetes does; the spawner takes those of its Python client too.
func camel(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = camel(v[i])
		}
	case map[string]any:
		made := map[string]any{}
		for key, below := range v {
			key = word.ReplaceAllStringFunc(key, func(part string) string { return strings.ToUpper(part[1:]) })
			if !slices.Contains(labelled, key) {
				below = camel(below)
			}
			made[key] = below
		}
		return made
	}
	return value
}

func mergeInto(into map[string]any, from any) {
	content, _ := from.(map[string]any)
	maps.Copy(into, overlaid(into, content))
}
