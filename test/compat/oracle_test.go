// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The contracts of the training operator: release 1.9, and 1.8 for MXJob.

// podName is the name of a pod and of its Service.
func podName(o original, role string, index int) string {
	return o.Name + "-" + role + "-" + strconv.Itoa(index)
}

// each makes the pods of all replica types.
func each(o original, all []replica, only string, adds func(r *replica, index int) env) []member {
	var pods []member
	for i := range all {
		for index := range all[i].count {
			pods = append(pods, member{podName(o, all[i].name, index), all[i].replicaSpec, adds(&all[i], index), only})
		}
	}
	return pods
}

func pytorchPods(o original) []member {
	all := without(replicasOf(o.Spec.PyTorchReplicaSpecs, 1), "master", "worker")
	port := func(r *replica) string { return itoa(r.portOf("pytorch", "pytorchjob-port", 23456)) }
	return each(o, all, "", func(r *replica, index int) env {
		adds := env{"PYTHONUNBUFFERED": "1", "PET_NNODES": strconv.Itoa(total(all)), "PET_NPROC_PER_NODE": "auto"}
		procs := 1
		if n := o.Spec.NprocPerNode; n != nil {
			adds["PET_NPROC_PER_NODE"] = *n
			if number, err := strconv.Atoi(*n); err == nil {
				procs = number
			}
		}
		if master := find(all, "master"); master != nil {
			rank := index
			if r.name == "worker" {
				rank++
			}
			adds["MASTER_ADDR"], adds["PET_MASTER_ADDR"] = podName(o, "master", 0), podName(o, "master", 0)
			adds["MASTER_PORT"], adds["PET_MASTER_PORT"] = port(master), port(master)
			adds["WORLD_SIZE"] = strconv.Itoa(total(all) * procs)
			adds["RANK"], adds["PET_NODE_RANK"] = strconv.Itoa(rank), strconv.Itoa(rank)
		}
		if e := o.Spec.ElasticPolicy; e != nil {
			elastic(o, e, find(all, "worker"), port(find(all, "worker")), adds)
		}
		return adds
	})
}

// elastic adds what torchrun reads in an elastic job.
func elastic(o original, e *elasticPolicy, workers *replica, port string, adds env) {
	host, backend := podName(o, "worker", 0), "c10d"
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&host, e.RDZVHost)
	set(&backend, e.RDZVBackend)
	if e.RDZVPort != nil {
		port = itoa(*e.RDZVPort)
	}
	least, most := int32(workers.count), int32(workers.count)
	switch {
	case e.MinReplicas != nil && e.MaxReplicas != nil:
		least, most = *e.MinReplicas, *e.MaxReplicas
	case e.MinReplicas != nil:
		least, most = *e.MinReplicas, *e.MinReplicas
	case e.MaxReplicas != nil:
		least, most = *e.MaxReplicas, *e.MaxReplicas
	}
	adds["PET_RDZV_ENDPOINT"], adds["PET_RDZV_BACKEND"] = host+":"+port, backend
	adds["PET_NNODES"] = fmt.Sprintf("%d:%d", least, most)
	for name, number := range map[string]*int32{"PET_MAX_RESTARTS": e.MaxRestarts, "PET_NPROC_PER_NODE": e.NProcPerNode} {
		if number != nil {
			adds[name] = itoa(*number)
		}
	}
	if e.RDZVID != nil {
		adds["PET_RDZV_ID"] = *e.RDZVID
	}
	if e.Standalone {
		adds["PET_STANDALONE"] = ""
	}
	var pairs []string
	for _, pair := range e.RDZVConf {
		pairs = append(pairs, pair.Key+"="+pair.Value)
	}
	if pairs != nil {
		adds["PET_RDZV_CONF"] = strings.Join(pairs, ",")
	}
}

func tensorflowPods(o original) []member {
	all := without(replicasOf(o.Spec.TFReplicaSpecs, 1), "chief", "master", "ps", "worker", "evaluator")
	endpoints := func(r *replica) []string {
		found := []string{}
		for i := range r.count {
			found = append(found, fmt.Sprintf("%s.%s.svc:%d", podName(o, r.name, i), o.Namespace, r.portOf("tensorflow", "tfjob-port", 2222)))
		}
		return found
	}
	cluster := map[string][]string{}
	for i := range all {
		cluster[all[i].name] = endpoints(&all[i])
	}
	return each(o, all, "tensorflow", func(r *replica, index int) env {
		if total(all) == 1 {
			return nil
		}
		task := fmt.Sprintf(`"task":{"type":%q,"index":%d}`, r.name, index)
		if !o.Spec.EnableDynamicWorker {
			return env{"TF_CONFIG": fmt.Sprintf(`{"cluster":%s,%s,"environment":"cloud"}`, compact(cluster), task)}
		}
		workers, servers := map[string]string{}, []string{}
		switch r.name {
		case "worker":
			workers[strconv.Itoa(index)], servers = cluster["worker"][index], append(servers, cluster["ps"]...)
		case "ps":
			servers = append(servers, cluster["ps"][index])
		}
		return env{"TF_CONFIG": fmt.Sprintf(`{"cluster":{"worker":%s,"ps":%s},%s}`, compact(workers), compact(servers), task)}
	})
}

func mxnetPods(o original) []member {
	all := without(replicasOf(o.Spec.MXReplicaSpecs, 1), "scheduler", "server", "worker", "tunertracker", "tunerserver", "tuner")
	cluster, labels := map[string][]json.RawMessage{}, map[string]string{}
	port := func(r *replica) int32 { return r.portOf("mxnet", "mxjob-port", 9091) }
	for i := range all {
		r := &all[i]
		cluster[r.name] = []json.RawMessage{}
		for index := range r.count {
			address := fmt.Sprintf(`{"url":%q,"port":%d}`, podName(o, r.name, index), port(r))
			cluster[r.name] = append(cluster[r.name], json.RawMessage(address))
		}
		labels[r.name] = r.Template.Annotations["tuner-server-key"]
		if labels[r.name] == "" {
			labels[r.name] = r.Label // of versions before 1.0
		}
	}
	root := env{"DMLC_PS_ROOT_PORT": "0", "DMLC_PS_ROOT_URI": ""}
	if s := find(all, "scheduler"); s != nil {
		root = env{"DMLC_PS_ROOT_PORT": itoa(port(s)), "DMLC_PS_ROOT_URI": podName(o, "scheduler", 0)}
	}
	return each(o, all, "", func(r *replica, index int) env {
		task := fmt.Sprintf(`{"type":%q,"index":%d}`, r.name, index)
		adds := env{
			"MX_CONFIG":         fmt.Sprintf(`{"cluster":%s,"labels":%s,"task":%s}`, compact(cluster), compact(labels), task),
			"DMLC_PS_ROOT_PORT": root["DMLC_PS_ROOT_PORT"], "DMLC_PS_ROOT_URI": root["DMLC_PS_ROOT_URI"],
			"DMLC_NUM_SERVER": strconv.Itoa(len(cluster["server"])), "DMLC_NUM_WORKER": strconv.Itoa(len(cluster["worker"])),
			"DMLC_ROLE": r.name, "DMLC_USE_KUBERNETES": "1",
		}
		if r.name == "worker" {
			adds["DMLC_WORKER_ID"] = strconv.Itoa(index)
		}
		return adds
	})
}

func xgboostPods(o original) []member {
	all := without(replicasOf(o.Spec.XGBReplicaSpecs, 1), "master", "worker")
	port := func(r *replica) string { return itoa(r.portOf("xgboost", "xgboostjob-port", 9999)) }
	master, workers := find(all, "master"), find(all, "worker")
	return each(o, all, "", func(r *replica, index int) env {
		rank := index
		if r.name == "worker" {
			rank += master.count
		}
		adds := env{
			"MASTER_ADDR": podName(o, "master", 0), "MASTER_PORT": port(master),
			"WORLD_SIZE": strconv.Itoa(total(all)), "RANK": strconv.Itoa(rank), "PYTHONUNBUFFERED": "1",
		}
		if total(all) > 1 {
			var addresses []string
			for i := range workers.count {
				addresses = append(addresses, podName(o, "worker", i))
			}
			adds["WORKER_ADDRS"], adds["WORKER_PORT"] = strings.Join(addresses, ","), port(workers)
		}
		return adds
	})
}

func jaxPods(o original) []member {
	all := without(replicasOf(o.Spec.JAXReplicaSpecs, 1), "worker")
	return each(o, all, "", func(r *replica, index int) env {
		return env{
			"PYTHONUNBUFFERED": "1", "COORDINATOR_ADDRESS": podName(o, "worker", 0),
			"COORDINATOR_PORT": itoa(r.portOf("jax", "jaxjob-port", 6666)),
			"NUM_PROCESSES":    strconv.Itoa(total(all)), "PROCESS_ID": strconv.Itoa(index),
		}
	})
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// compact is a value as JSON without white space, keys in order.
func compact(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}
