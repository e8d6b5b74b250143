/* A libnvidia-ml.so.1 without a driver: of the calls that the agent makes, as NVIDIA's public header declares them.
 *
 * Each call reads the scenario file that NVML_STUB_SCENARIO names, so that a test can change the node while the agent
 * runs, and adds its name to the file that NVML_STUB_CALLS names. A line of the scenario is a word and settings:
 *
 *   driver loaded=0                    the driver is not loaded
 *   driver generation=2                it was loaded anew: what was opened before is void
 *   driver version=550                 it wants the library of that version (see -DVERSION)
 *   hang call=nvmlDeviceGetName        that call does not come back while the line stands
 *   fail call=nvmlDeviceGetName code=4 that call fails for every GPU
 *   gpu uuid=GPU-0 name=H100 ...       a GPU; the settings are the fields of struct gpu
 *   mig gpu=0 uuid=MIG-0 ...           an instance of the GPU at that index, likewise
 *   process gpu=0 pid=1 memory=2 kind=compute|graphics|mps        a process on a GPU,
 *   process gpu=0 mig=1 pid=1 memory=2 kind=compute               or on an instance
 *
 * Compiled with -DWITHOUT_GPM, -DWITHOUT_MIG, -DWITHOUT_EVENTS, -DWITHOUT_PROCESSES or -DWITHOUT_EVENT_REASONS, it
 * lacks those symbols, as an older driver does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 550
#endif

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    VERSION_MISMATCH = 18,
};
enum { MAX_GPUS = 8, MAX_INSTANCES = 7, MAX_PROCESSES = 64, TEXT = 96 };

/* A negative value is one that this GPU does not support. */
struct gpu {
    char uuid[TEXT], name[TEXT];
    long long used, total, utilization, temperature, power, limit, clock, reasons, ecc, instance;
    long long lost, xids, events, gpm, mig;
    double occupancy;
    int instances;
};
struct process {
    long long gpu, mig, pid, memory;
    char kind[16];
};
static struct {
    long long loaded, generation, version;
    int gpus, processes;
    struct gpu gpu[MAX_GPUS], mig[MAX_GPUS][MAX_INSTANCES];
    struct process process[MAX_PROCESSES];
    char hanging[TEXT], failing[TEXT];
    long long code;
} node;

/* Handles of devices point here: the place says which GPU, or which of its instances. */
static char handles[MAX_GPUS][1 + MAX_INSTANCES];
static int opened;
static long long opened_generation;

static long long number(const char *line, const char *key, long long otherwise) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s=", key);
    const char *at = strstr(line, wanted);
    return at ? strtoll(at + strlen(wanted), NULL, 0) : otherwise;
}

static void text(const char *line, const char *key, char *into, size_t size) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s=", key);
    const char *at = strstr(line, wanted);
    into[0] = 0;
    if (at) {
        at += strlen(wanted);
        snprintf(into, size, "%.*s", (int)strcspn(at, " \n"), at);
    }
}

static void read_gpu(const char *line, struct gpu *gpu) {
    char occupancy[TEXT];
    text(line, "uuid", gpu->uuid, TEXT);
    text(line, "name", gpu->name, TEXT);
    text(line, "occupancy", occupancy, TEXT);
    gpu->occupancy = strtod(occupancy, NULL);
    gpu->used = number(line, "used", -1);
    gpu->total = number(line, "total", -1);
    gpu->utilization = number(line, "utilization", -1);
    gpu->temperature = number(line, "temperature", -1);
    gpu->power = number(line, "power", -1);
    gpu->limit = number(line, "limit", -1);
    gpu->clock = number(line, "clock", -1);
    gpu->reasons = number(line, "reasons", -1);
    gpu->ecc = number(line, "ecc", -1);
    gpu->instance = number(line, "instance", -1);
    gpu->lost = number(line, "lost", 0);
    gpu->xids = number(line, "xids", 0);
    gpu->events = number(line, "events", 1);
    gpu->gpm = number(line, "gpm", 0);
    gpu->mig = number(line, "mig", -1);
}

static void read_process(const char *line, struct process *process) {
    process->gpu = number(line, "gpu", 0);
    process->mig = number(line, "mig", -1);
    process->pid = number(line, "pid", 0);
    process->memory = number(line, "memory", -1);
    text(line, "kind", process->kind, sizeof process->kind);
}

static void read_scenario(void) {
    char line[1024], word[16];
    memset(&node, 0, sizeof node);
    node.loaded = 1;
    node.version = VERSION;
    const char *path = getenv("NVML_STUB_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s", word) != 1)
            continue;
        if (!strcmp(word, "driver")) {
            node.loaded = number(line, "loaded", node.loaded);
            node.generation = number(line, "generation", node.generation);
            node.version = number(line, "version", node.version);
        } else if (!strcmp(word, "hang")) {
            text(line, "call", node.hanging, TEXT);
        } else if (!strcmp(word, "fail")) {
            text(line, "call", node.failing, TEXT);
            node.code = number(line, "code", NOT_SUPPORTED);
        } else if (!strcmp(word, "gpu") && node.gpus < MAX_GPUS) {
            read_gpu(line, &node.gpu[node.gpus++]);
        } else if (!strcmp(word, "mig")) {
            struct gpu *gpu = &node.gpu[number(line, "gpu", 0)];
            if (gpu->instances < MAX_INSTANCES)
                read_gpu(line, &node.mig[gpu - node.gpu][gpu->instances++]);
        } else if (!strcmp(word, "process") && node.processes < MAX_PROCESSES) {
            read_process(line, &node.process[node.processes++]);
        }
    }
    if (file)
        fclose(file);
}

static void note(const char *call) {
    const char *path = getenv("NVML_STUB_CALLS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s\n", call);
        fclose(file);
    }
}

/* What every call begins with. */
static int begin(const char *call) {
    note(call);
    for (read_scenario(); !strcmp(node.hanging, call); read_scenario())
        usleep(10000);
    if (!strcmp(node.failing, call))
        return node.code;
    return SUCCESS;
}

static int begin_open(const char *call) {
    int code = begin(call);
    if (code)
        return code;
    if (!node.loaded)
        return DRIVER_NOT_LOADED;
    return opened && opened_generation == node.generation ? SUCCESS : UNINITIALIZED;
}

/* Which GPU a handle means; an instance is looked up in its GPU. */
static int begin_device(const char *call, const void *handle, const struct gpu **found) {
    int code = begin_open(call);
    if (code)
        return code;
    ptrdiff_t place = (const char *)handle - &handles[0][0];
    if (!handle || place < 0 || place >= (ptrdiff_t)sizeof handles)
        return INVALID_ARGUMENT;
    int index = place / (1 + MAX_INSTANCES), instance = place % (1 + MAX_INSTANCES) - 1;
    const struct gpu *gpu = &node.gpu[index];
    if (index >= node.gpus || gpu->lost)
        return GPU_IS_LOST;
    if (instance >= gpu->instances)
        return INVALID_ARGUMENT;
    *found = instance < 0 ? gpu : &node.mig[index][instance];
    return SUCCESS;
}

static int give(long long value, void *into, size_t size) {
    if (value < 0)
        return NOT_SUPPORTED;
    memcpy(into, &value, size);
    return SUCCESS;
}

#define DEVICE(call)                                      \
    const struct gpu *gpu;                                \
    int code = begin_device(call, handle, &gpu);          \
    if (code)                                             \
        return code;

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    int code = begin("nvmlInitWithFlags");
    if (code)
        return code;
    if (!node.loaded)
        return DRIVER_NOT_LOADED;
    if (node.version != VERSION)
        return VERSION_MISMATCH;
    opened++;
    opened_generation = node.generation;
    return SUCCESS;
}

int nvmlShutdown(void) {
    int code = begin("nvmlShutdown");
    if (code || !opened)
        return code ? code : UNINITIALIZED;
    opened--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    (void)code;
    return "an error of the stub";
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    int code = begin_open("nvmlDeviceGetCount");
    *count = node.gpus;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
    int code = begin_open("nvmlDeviceGetHandleByIndex");
    if (code)
        return code;
    if (index >= (unsigned)node.gpus)
        return INVALID_ARGUMENT;
    *handle = &handles[index][0];
    return node.gpu[index].lost ? GPU_IS_LOST : SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *into, unsigned int size) {
    DEVICE("nvmlDeviceGetUUID")
    snprintf(into, size, "%s", gpu->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *into, unsigned int size) {
    DEVICE("nvmlDeviceGetName")
    snprintf(into, size, "%s", gpu->name);
    return gpu->name[0] ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long memory[3]) {
    DEVICE("nvmlDeviceGetMemoryInfo")
    memory[1] = gpu->total - gpu->used;
    return give(gpu->total, &memory[0], 8) || give(gpu->used, &memory[2], 8) ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned int rates[2]) {
    DEVICE("nvmlDeviceGetUtilizationRates")
    rates[1] = 0;
    return give(gpu->utilization, &rates[0], 4);
}

int nvmlDeviceGetTemperature(void *handle, unsigned int sensor, unsigned int *celsius) {
    DEVICE("nvmlDeviceGetTemperature")
    return sensor == 0 ? give(gpu->temperature, celsius, 4) : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *milliwatts) {
    DEVICE("nvmlDeviceGetPowerUsage")
    return give(gpu->power, milliwatts, 4);
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned int *milliwatts) {
    DEVICE("nvmlDeviceGetEnforcedPowerLimit")
    return give(gpu->limit, milliwatts, 4);
}

int nvmlDeviceGetClockInfo(void *handle, unsigned int type, unsigned int *mhz) {
    DEVICE("nvmlDeviceGetClockInfo")
    return type == 1 ? give(gpu->clock, mhz, 4) : INVALID_ARGUMENT;
}

int nvmlDeviceGetTotalEccErrors(void *handle, unsigned int error, unsigned int counter, unsigned long long *count) {
    DEVICE("nvmlDeviceGetTotalEccErrors")
    return error == 1 && counter == 0 ? give(gpu->ecc, count, 8) : INVALID_ARGUMENT;
}

#ifdef WITHOUT_EVENT_REASONS
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons) {
#else
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *reasons) {
#endif
    DEVICE("nvmlDeviceGetCurrentClocksEventReasons")
    return give(gpu->reasons, reasons, 8);
}

#ifndef WITHOUT_MIG
int nvmlDeviceGetMigMode(void *handle, unsigned int *current, unsigned int *pending) {
    DEVICE("nvmlDeviceGetMigMode")
    return give(gpu->mig, current, 4) || give(gpu->mig, pending, 4) ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned int *count) {
    DEVICE("nvmlDeviceGetMaxMigDeviceCount")
    *count = MAX_INSTANCES;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned int index, void **instance) {
    DEVICE("nvmlDeviceGetMigDeviceHandleByIndex")
    if (index >= (unsigned)gpu->instances)
        return NOT_FOUND;
    *instance = (char *)handle + 1 + index;
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(void *handle, unsigned int *instance) {
    DEVICE("nvmlDeviceGetGpuInstanceId")
    return give(gpu->instance, instance, 4);
}
#endif

#ifndef WITHOUT_PROCESSES
struct told {
    unsigned int pid;
    unsigned long long memory;
    unsigned int instance, compute_instance;
};

static int processes(const char *call, const char *kind, void *handle, unsigned int *count, struct told *into) {
    DEVICE(call)
    (void)gpu;
    ptrdiff_t place = (char *)handle - &handles[0][0];
    unsigned int room = *count;
    *count = 0;
    for (int i = 0; i < node.processes; i++) {
        const struct process *process = &node.process[i];
        if (process->gpu * (1 + MAX_INSTANCES) + 1 + process->mig != place || strcmp(process->kind, kind))
            continue;
        if (*count < room)
            into[*count] = (struct told){.pid = process->pid, .memory = process->memory};
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned int *count, struct told *into) {
    return processes("nvmlDeviceGetComputeRunningProcesses", "compute", handle, count, into);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned int *count, struct told *into) {
    return processes("nvmlDeviceGetGraphicsRunningProcesses", "graphics", handle, count, into);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *handle, unsigned int *count, struct told *into) {
    return processes("nvmlDeviceGetMPSComputeRunningProcesses", "mps", handle, count, into);
}
#endif

#ifndef WITHOUT_EVENTS
struct event_set {
    void *device;
    long long told;
};
struct event {
    void *device;
    unsigned long long type, data;
    unsigned int instance, compute_instance;
};

int nvmlEventSetCreate(struct event_set **set) {
    int code = begin_open("nvmlEventSetCreate");
    if (!code)
        *set = calloc(1, sizeof **set);
    return code;
}

int nvmlDeviceRegisterEvents(void *handle, unsigned long long types, struct event_set *set) {
    DEVICE("nvmlDeviceRegisterEvents")
    if (!gpu->events || types != 8)
        return NOT_SUPPORTED;
    *set = (struct event_set){.device = handle, .told = gpu->xids};
    return SUCCESS;
}

int nvmlEventSetWait_v2(struct event_set *set, struct event *event, unsigned int timeout_ms) {
    void *handle = set->device;
    DEVICE("nvmlEventSetWait_v2")
    if (timeout_ms)
        return INVALID_ARGUMENT;
    if (set->told >= gpu->xids)
        return TIMEOUT;
    set->told++;
    *event = (struct event){.device = handle, .type = 8, .data = 31};
    return SUCCESS;
}

int nvmlEventSetFree(struct event_set *set) {
    int code = begin("nvmlEventSetFree");
    free(set);
    return code;
}
#endif

#ifndef WITHOUT_GPM
struct sample {
    const void *device;
    long long instance;
    unsigned long taken;
    double occupancy;
};
struct metric {
    unsigned int id;
    int code;
    double value;
    const char *names[3];
};
struct metrics {
    unsigned int version, count;
    struct sample *before, *after;
    struct metric metric[];
};
struct support {
    unsigned int version, supported;
};
static unsigned long samples_taken;

int nvmlGpmQueryDeviceSupport(void *handle, struct support *support) {
    DEVICE("nvmlGpmQueryDeviceSupport")
    support->supported = gpu->gpm;
    return support->version == 1 ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlGpmSampleAlloc(struct sample **sample) {
    int code = begin_open("nvmlGpmSampleAlloc");
    if (!code)
        *sample = calloc(1, sizeof **sample);
    return code;
}

int nvmlGpmSampleFree(struct sample *sample) {
    int code = begin("nvmlGpmSampleFree");
    free(sample);
    return code;
}

int nvmlGpmSampleGet(void *handle, struct sample *sample) {
    DEVICE("nvmlGpmSampleGet")
    *sample = (struct sample){handle, -1, ++samples_taken, gpu->occupancy};
    return gpu->gpm ? SUCCESS : NOT_SUPPORTED;
}

#ifndef WITHOUT_MIG
int nvmlGpmMigSampleGet(void *handle, unsigned int instance, struct sample *sample) {
    DEVICE("nvmlGpmMigSampleGet")
    const struct gpu *mig = node.mig[gpu - node.gpu];
    for (int i = 0; i < gpu->instances; i++)
        if (mig[i].instance == instance) {
            *sample = (struct sample){handle, instance, ++samples_taken, mig[i].occupancy};
            return gpu->gpm ? SUCCESS : NOT_SUPPORTED;
        }
    return NOT_FOUND;
}
#endif

int nvmlGpmMetricsGet(struct metrics *asked) {
    int code = begin_open("nvmlGpmMetricsGet");
    if (code)
        return code;
    const struct sample *before = asked->before, *after = asked->after;
    bool pair = before && after && before->taken && before->taken < after->taken &&
                before->device == after->device && before->instance == after->instance;
    if (asked->version != 1 || asked->count != 1 || !pair)
        return INVALID_ARGUMENT;
    bool known = asked->metric[0].id == 3;
    asked->metric[0].code = known ? SUCCESS : NOT_SUPPORTED;
    asked->metric[0].value = known ? after->occupancy : 0;
    return SUCCESS;
}
#endif
