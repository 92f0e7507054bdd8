import { useState } from 'preact/hooks';
import { EventList } from '../parts/event-list.js';

export function Events() {
  const [filter, change] = useState('');
  return (
    <>
      <div class="head">
        <h1>Events</h1>
        <div class="tools">
          <input
            type="search"
            aria-label="Filter events"
            placeholder="Filter"
            value={filter}
            onInput={(event) => change(event.currentTarget.value)}
          />
        </div>
      </div>
      <EventList limit={500} filter={filter.toLowerCase()} />
    </>
  );
}
