/*
 * The loop device's locks, in Promela: open, release, configure, clr_fd, change_fd, set_dio and requests, with
 * the lock order of docs/lock-order.md, checked by spin over all interleavings of 2 openers, 2 controllers,
 * 2 requests and the worker that clears after a last close.
 *
 *     spin -a loop.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan
 *
 * The device starts unbound (spin -DSTART=0), bound (1) or bound with autoclear (2).
 *
 * An invalid end state is a deadlock; every other property is an assertion:
 *
 *     closed file      no request touches a closed file
 *     not bound        no request succeeds when the device is not bound
 *     closed once      a file that was cleared or swapped out is closed exactly once
 *     newer opener     who found the device bound when its open returned keeps it bound until its own close
 *     thawed           every freeze is thawed
 *     half a flip      no request sees half of a direct I/O toggle
 *     lazy clear       a clear that was left to the last close is not forgotten
 *
 * With one of these defined (spin -DNAME) the design is broken on purpose, and spin must find it:
 *
 *     PRE_FIX_OPEN      open and release take lo_mutex under open_mutex             deadlock
 *     PRE_FIX_RELEASE   the last close runs the rundown under open_mutex            deadlock
 *     RESUME_WAITS      the in-kernel opener waits for a clear in progress          deadlock
 *     CLEAR_IN_RELEASE  the releaser waits for the rundown that its close causes    deadlock
 *     NO_DRAIN          the rundown does not wait for requests in flight            closed file
 *     NO_STATE_CHECK    a request does not look at the state                        not bound
 *     STALE_FILE        clr_fd notes the file before it has lo_mutex                closed once
 *     SPLIT_CHECK       something gets between the look at openers and the state    newer opener
 *     NO_THAW           a toggle that is refused forgets to thaw                    thawed
 *     NO_FREEZE         a toggle does not freeze                                    half a flip
 *     FORGETFUL_CLOSE   the close of a clr_fd clears nothing, though it is the last lazy clear
 *
 * Steps: whatever two tasks can disagree about is a step of its own. An action that only gives something up
 * (unlock, thaw, count out) joins the step before it: nobody blocked on it can tell the difference, and the search
 * stays small. What runs without an await in the code is one step here.
 */

#ifdef PRE_FIX_OPEN
#define LO_UNDER_OPEN lock(loMutex)
#define LO_DROPPED    loMutex = false
#else
#define LO_UNDER_OPEN skip
#define LO_DROPPED    skip
#endif

#ifndef START           /* 0: unbound, 1: bound, 2: bound with autoclear */
#define START 1
#endif

#define FILES 4         /* one at the start and one of each controller; number 0 is none */

mtype = { UNBOUND, BOUND, RUNDOWN, CONFIGURE, CLR_FD, FORCED_CLR_FD, CHANGE_FD, SET_DIO };

/* The locks. While the machine suspends or resumes (systemTransition) no request completes. */
bool systemTransition, openMutex, validateMutex, loMutex;

/* The device. */
mtype state = UNBOUND;
mtype shown = UNBOUND;    /* the state that requests see, and `file`: written under freeze only */
byte file;                      /* 0: none */
bool dio, dioFlag;              /* what the descriptor and the device say about direct I/O */
bool autoclear;
byte openers;
byte settling;                  /* configures in progress */

/* Its queue. */
byte freezeDepth, inFlight;

/* Clears that last closes left to the worker. */
byte clearWork;

/* What only the properties look at. */
bool isOpen[FILES];
bool wasOpened[FILES];
bool promised;                  /* the userspace session found the device bound, and has not closed yet */
bool lazy;                      /* a clr_fd was left to the last close */
byte running = 6;               /* openers, controllers and requests that are not done, clears in progress */
bool firstEntered;

#define lock(mutex) atomic { !mutex -> mutex = true }

inline open_file(number) {
  assert(!wasOpened[number]);
  isOpen[number] = true; wasOpened[number] = true
}

inline close_file(number) {
  atomic { assert(isOpen[number]); isOpen[number] = false; number = 0 }         /* closed once */
}


/* The state is RUNDOWN and `old` is the file to close. No mutex is held, save before the fix. */
inline rundown(old) {
  freezeDepth++;
  atomic {
#ifndef NO_DRAIN
    inFlight == 0;
#endif
    shown = UNBOUND; file = 0; dio = false; dioFlag = false; autoclear = false; lazy = false;
    freezeDepth--
  }
#ifdef PRE_FIX_RELEASE
  state = UNBOUND;
#else
  atomic { !loMutex -> state = UNBOUND }
#endif
  close_file(old)
}

/* Whether nobody but the caller has the device open. Before the fix a closer had counted itself out. */
#define ALONE (forced || openers <= 1)

/*
 * The caller is one of the openers. `forced`: clear under open sessions; `lazily`: only what still has autoclear.
 * Sets `taken` to the file to clear.
 */
inline clr_fd() {
  lock(validateMutex);
#ifdef STALE_FILE
  noted = file;
#endif
  lock(loMutex);
#ifdef SPLIT_CHECK
  alone = ALONE;
#endif
  atomic {
#ifndef SPLIT_CHECK
    alone = ALONE;
#endif
    if
    :: state == BOUND && alone && (!lazily || autoclear) ->
#ifdef STALE_FILE
      taken = noted;
#else
      taken = file;
#endif
      state = RUNDOWN;
      promised = promised && !forced
    :: state == BOUND && !alone && (!lazily || autoclear) -> autoclear = true; lazy = true        /* the last close clears */
    :: else                                                             /* ENXIO */
    fi;
    alone = false; forced = false; lazily = true; noted = 0;
#ifndef PRE_FIX_RELEASE
    loMutex = false; validateMutex = false
#endif
  }
  if
  :: taken != 0 -> rundown(taken)
  :: else
  fi;
#ifdef PRE_FIX_RELEASE
  atomic { loMutex = false; validateMutex = false }
#endif
}

/* openers + 1, under open_mutex and nothing else. */
inline count_in() {
  lock(openMutex);
  LO_UNDER_OPEN;
  atomic { openers++; LO_DROPPED; openMutex = false }
}

/* openers - 1; `last` tells whether this close has to clear the device. */
inline count_out() {
  lock(openMutex);
  LO_UNDER_OPEN;
  atomic {
    openers--;
    last = openers == 0 && autoclear && state == BOUND;
    promised = promised && !mine; mine = false;
    LO_DROPPED;
#ifndef PRE_FIX_RELEASE
    openMutex = false
#endif
  }
#ifdef PRE_FIX_RELEASE
  if
  :: last -> clr_fd(); last = false
  :: else
  fi;
  openMutex = false
#endif
}

/*
 * LOOP_CLR_FD by a caller that counts as an opener, and what a last close causes: open, clr_fd, close. Its own
 * close may be the last of a device whose clear somebody left to the last close: then once more.
 */
inline clear(onlyAutoclear) {
  last = true;
  lazily = onlyAutoclear;
  do
#ifdef FORGETFUL_CLOSE
  :: last -> count_in(); clr_fd(); count_out(); last = false
#else
  :: last -> count_in(); clr_fd(); count_out()
#endif
  :: else -> lazily = false; break
  od
}

/* A close, and the end of its opener. */
inline release() {
  count_out();
#ifdef CLEAR_IN_RELEASE
  if
  :: last -> clear(true)
  :: else
  fi;
#endif
  atomic {
    if
    :: last -> clearWork++; last = false
    :: else
    fi;
    running--
  }
}

/* Suspend and resume open the device with system_transition_mutex held: they must not wait for I/O. */
proctype inKernelOpener() {
  bool last, alone, mine, forced, lazily;
  byte taken, noted;
  lock(systemTransition);
  count_in();
#ifdef RESUME_WAITS
  state != RUNDOWN && settling == 0;
#endif
  release();
  systemTransition = false
}

proctype userspaceOpener() {
  bool last, alone, mine, forced, lazily;
  byte taken, noted;
  count_in();
  /* The deferred open, holding nothing. */
  atomic { state != RUNDOWN && settling == 0 -> mine = state == BOUND; promised = mine }
  release()
}

proctype worker() {
  bool last, alone, mine, forced, lazily;
  byte taken, noted;
end:
  do
  :: atomic { clearWork > 0 -> clearWork--; running++ }
    clear(true);
    running--
  od
}

inline configure(fresh) {
  atomic { !validateMutex -> open_file(fresh); taken = fresh; validateMutex = true }
  atomic { !loMutex -> loMutex = true; settling++ }
  if
  :: atomic { state == UNBOUND -> freezeDepth++ }
    atomic { inFlight == 0 -> file = taken; taken = 0; shown = BOUND; state = BOUND; freezeDepth-- }
  :: else                                                               /* EBUSY */
  fi;
  atomic { loMutex = false; validateMutex = false; settling-- }
  if
  :: taken != 0 -> close_file(taken)
  :: else
  fi
}

inline change_fd(fresh) {
  atomic { !loMutex -> open_file(fresh); taken = fresh; loMutex = true }
  if
  :: atomic { state == BOUND -> freezeDepth++ }
    atomic { inFlight == 0 -> taken = file; file = fresh; freezeDepth-- }
  :: else                                                               /* ENXIO */
  fi;
  loMutex = false;
  close_file(taken)
}

inline set_dio() {
  lock(loMutex);
  if
#ifdef NO_FREEZE
  :: state == BOUND ->
    dio = !dio;
    dioFlag = dio
#else
  :: atomic { state == BOUND -> freezeDepth++ }
    atomic { inFlight == 0 -> dio = !dio }
    if
    :: atomic { dioFlag = dio; freezeDepth-- }
    :: dio = dioFlag;                                                   /* EINVAL: the file system refuses */
#ifndef NO_THAW
      freezeDepth--
#endif
    fi
#endif
  :: else                                                               /* ENXIO */
  fi;
  loMutex = false
}

proctype controller(byte operation; byte fresh) {
  bool last, alone, mine, forced, lazily;
  byte taken, noted;
  if
  :: operation == CONFIGURE -> configure(fresh)
  :: operation == CLR_FD || operation == FORCED_CLR_FD -> forced = operation == FORCED_CLR_FD; clear(false)
  :: operation == CHANGE_FD -> change_fd(fresh)
  :: operation == SET_DIO -> set_dio()
  fi;
  running--
}

/*
 * queueRq. Entering is one step here; in the code the count and the gate are two words that check each other.
 * The two requests are alike, so the search lets the first one enter first.
 */
proctype request(bool first) {
  byte using;
  bool wasDio;
  atomic {
    freezeDepth == 0 && (first || firstEntered);
    inFlight++;
    firstEntered = true
  }
  atomic {
    assert(!promised || (state == BOUND && shown == BOUND));            /* newer opener */
    if
#ifdef NO_STATE_CHECK
    :: true -> using = file; wasDio = dio
#else
    :: shown == BOUND -> using = file; wasDio = dio
    :: else -> using = FILES; inFlight--; running--                                /* EIO */
#endif
    fi
  }
  if
  :: using == FILES
  :: else ->
    /* The file is at work. */
    atomic {
      !systemTransition;
      assert(using != 0);                                               /* not bound */
      assert(isOpen[using]);                                            /* closed file */
      assert(dioFlag == wasDio);                                        /* half a flip */
      inFlight--; running--
    }
  fi
}

/* The end, when nobody runs any more. */
inline check_end() {
  assert(freezeDepth == 0);                                             /* thawed */
  assert(inFlight == 0 && openers == 0 && settling == 0);
  assert(!(lazy && state == BOUND));                                    /* lazy clear */
  assert(state != RUNDOWN && state == shown && (state == BOUND) == (file != 0));
  for (number : 1 .. FILES - 1) {
    assert(isOpen[number] == (number == file))                          /* closed once */
  }
}

inline pick(operation) {
  if
  :: operation = CONFIGURE
  :: operation = CLR_FD
  :: operation = FORCED_CLR_FD
  :: operation = CHANGE_FD
  :: operation = SET_DIO
  fi
}

init {
  byte number;
  byte one, other, swap;        /* operations: spin passes no mtype to a process */
  atomic {
    if
    :: START != 0 -> open_file(1); file = 1; state = BOUND; shown = BOUND; autoclear = START == 2
    :: else
    fi;
    pick(one);
    pick(other);
    if                  /* the controllers are alike */
    :: one > other -> swap = one; one = other; other = swap; swap = 0
    :: else
    fi;
    run inKernelOpener(); run userspaceOpener();
    run controller(one, 2); run controller(other, 3);
    run request(true); run request(false);
    run worker()
  }
  atomic { running == 0 && clearWork == 0 -> check_end() }
}
